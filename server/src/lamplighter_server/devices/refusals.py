"""Slows down whoever is refused again and again at the devices' door: bounded, in memory."""

from collections import OrderedDict
from dataclasses import dataclass, field
from typing import Final

from lamplighter_protocol.errors import LamplighterError

FREE: Final = 30
"""Refusals without any wait; a site of boards with one wrong invitation shares an address."""
REFILL_S: Final = 2.0
"""After so long one refusal is forgotten."""
MAX_NETWORKS: Final = 10_000


@dataclass
class Refusals:
    """How often each network was refused lately: leaky buckets, the oldest forgotten first."""

    _levels: OrderedDict[str, tuple[float, float]] = field(default_factory=OrderedDict)

    def check(self, network: str, now_mono: float) -> None:
        """Refuse a network whose bucket is full.

        Raises:
            LamplighterError: ENROLMENT_THROTTLED.
        """
        over = self._level(network, now_mono) - (FREE - 1)
        if over > 0:
            raise LamplighterError(
                "ENROLMENT_THROTTLED",
                f"After so many refusals the next attempt may come in {over * REFILL_S:.0f} s.",
                retry_after_s=over * REFILL_S,
            )

    def count(self, network: str, now_mono: float) -> None:
        """Count a refusal."""
        self._levels[network] = self._level(network, now_mono) + 1, now_mono
        self._levels.move_to_end(network)
        if len(self._levels) > MAX_NETWORKS:
            self._levels.popitem(last=False)

    def _level(self, network: str, now_mono: float) -> float:
        level, at_mono = self._levels.get(network, (0.0, now_mono))
        return max(0.0, level - (now_mono - at_mono) / REFILL_S)
