"""How much may be fetched in a day or a month, and how fast: pure."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final, Literal

import msgspec

from lamplighter_protocol.names import Count

Period = Literal["day", "month"]
_NAMES: Final[dict[Period, str]] = {"day": "%Y-%m-%d", "month": "%Y-%m"}
#: What was left unused for a moment may be made up for.
BURST_S: Final = 1.0


class Spent(msgspec.Struct, frozen=True, kw_only=True):
    """What came in one period."""

    period: str
    """A UTC day or month, as `2026-11-23` or `2026-11`."""
    size_bytes: Count


@dataclass(frozen=True)
class Budget:
    """What may come in each period, in bytes."""

    size_bytes: int
    period: Period

    def charge(self, spent: Spent | None, size_bytes: int, now_utc: datetime) -> Spent:
        """Add what has come; in another period than before the count begins anew.

        Whoever was wrong about the date for a while counts anew, too: a clock that once stood in
        2099 must not shut a device off until then.
        """
        period = f"{now_utc:{_NAMES[self.period]}}"
        before = spent.size_bytes if spent is not None and spent.period == period else 0
        return Spent(period=period, size_bytes=before + size_bytes)

    def left_bytes(self, spent: Spent | None, now_utc: datetime) -> int:
        """What may still come, never below 0."""
        return max(0, self.size_bytes - self.charge(spent, 0, now_utc).size_bytes)

    def resets_utc(self, now_utc: datetime) -> datetime:
        """When the next period begins."""
        midnight = now_utc.replace(hour=0, minute=0, second=0, microsecond=0)
        if self.period == "day":
            return midnight + timedelta(days=1)
        return (midnight.replace(day=1) + timedelta(days=32)).replace(day=1)


class Pace:
    """A bucket of tokens that may be overdrawn by one piece.

    In any `t` seconds no more than `rate * (t + BURST_S)` bytes and one piece begin.

    Args:
        rate_bytes_per_s: The long-term rate; 0 for no limit.
    """

    def __init__(self, rate_bytes_per_s: float) -> None:
        self._rate = rate_bytes_per_s
        self._due_mono = 0.0

    def take(self, size_bytes: int, now_mono: float) -> float:
        """Take a piece if it may begin now.

        Returns:
            0 if it was taken, else the seconds after which to ask again.
        """
        if not self._rate:
            return 0.0
        if self._due_mono > now_mono:
            return self._due_mono - now_mono
        self._due_mono = max(self._due_mono, now_mono - BURST_S) + size_bytes / self._rate
        return 0.0
