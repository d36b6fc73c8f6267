"""Holds what is fetched to a rate and to a budget."""

from collections.abc import Callable
from datetime import datetime

from lamplighter_agent.core.budget import Budget, Pace
from lamplighter_agent.ports.transport import Allowance
from lamplighter_agent.store.spent import SpentFile
from lamplighter_protocol.errors import LamplighterError

_MB = 1_000_000


class Meter:
    """Implements ports.transport.Allowance for the files of releases.

    Args:
        pace: How fast.
        budget: How much; None for no limit, and nothing is counted then.
        file: What came already.
        now_utc: The best known time.
        now_mono: A clock that never jumps.
    """

    def __init__(
        self,
        pace: Pace,
        budget: Budget | None,
        file: SpentFile,
        now_utc: Callable[[], datetime],
        now_mono: Callable[[], float],
    ) -> None:
        self._pace = pace
        self.budget = budget
        self._file = file
        self._now_utc = now_utc
        self._now_mono = now_mono

    @property
    def left_bytes(self) -> int | None:
        """What may still come in this period; None without a budget."""
        if self.budget is None:
            return None
        return self.budget.left_bytes(self._file.spent, self._now_utc())

    @property
    def critical(self) -> Allowance:
        """For what says what is desired: it is counted and paced, but never put off."""
        return _Critical(self)

    def admit(self, size_bytes: int) -> float:
        """See ports.transport."""
        if self.budget is not None and self.left_bytes == 0:
            now_utc = self._now_utc()
            resets_utc = self.budget.resets_utc(now_utc)
            raise LamplighterError(
                "BUDGET_SPENT",
                f"{self.budget.size_bytes / _MB:g} MB a {self.budget.period} are spent; files go "
                f"on {resets_utc:%Y-%m-%d %H:%M} UTC.",
                retry_after_s=(resets_utc - now_utc).total_seconds(),
            )
        return self.pace(size_bytes)

    def pace(self, size_bytes: int) -> float:
        """As `admit`, whatever was spent."""
        return self._pace.take(size_bytes, self._now_mono())

    def arrived(self, size_bytes: int) -> None:
        """See ports.transport."""
        if self.budget is not None:
            self._file.note(self.budget.charge(self._file.spent, size_bytes, self._now_utc()))

    def save(self) -> None:
        """Store what was counted."""
        self._file.save()


class _Critical:
    def __init__(self, meter: Meter) -> None:
        self._meter = meter

    def admit(self, size_bytes: int) -> float:
        return self._meter.pace(size_bytes)

    def arrived(self, size_bytes: int) -> None:
        self._meter.arrived(size_bytes)
