"""Whether a board is fit to go on with an update: pure, from what can be seen of it.

Waiting is no failure: each check gives the reason for which an update waits, or None. What cannot
be seen is never "go" where a limit asks for it.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, time
from typing import Final

from lamplighter_protocol.reported import Failure

_WINDOW: Final = re.compile(r"(\d\d):(\d\d)-(\d\d):(\d\d)")


@dataclass(frozen=True)
class DailyWindow:
    """Times of day from `start`, included, to `end`, not included; it may lie across midnight.

    It is read off a wall clock. So on the night in which clocks go forward, a window inside the
    missing hour does not come, and on the one in which they go back it comes twice.
    """

    start: time
    end: time

    @classmethod
    def parse(cls, text: str) -> "DailyWindow":
        """Read `HH:MM-HH:MM`; the same time twice is a whole day.

        Raises:
            ValueError: It is something else.
            TypeError: It is no text.
        """
        match = _WINDOW.fullmatch(text)
        if match is None:
            raise ValueError(f"{text!r} is not HH:MM-HH:MM")
        hour, minute, end_hour, end_minute = map(int, match.groups())
        return cls(time(hour, minute), time(end_hour, end_minute))

    def holds(self, wall: time) -> bool:
        """Whether a time of day lies in it."""
        if self.start < self.end:
            return self.start <= wall < self.end
        return wall >= self.start or wall < self.end

    def __str__(self) -> str:
        return f"{self.start:%H:%M}-{self.end:%H:%M}"


@dataclass(frozen=True)
class Board:
    """What can be seen of a board now.

    Attributes:
        disk_free_mb: Where the agent keeps its files.
        memory_available_mb: What a new process can have without swapping.
        temperature_c: Of the hottest sensor; None without one.
        on_mains: Whether it is fed from outside; None if that cannot be seen.
        local: The time on its wall clock; None while the clock is not to be believed.
        held_s: For how long an application has asked for this update to wait; None if none asks.
    """

    disk_free_mb: float
    memory_available_mb: float
    temperature_c: float | None
    on_mains: bool | None
    local: datetime | None
    held_s: float | None


@dataclass(frozen=True)
class Limits:
    """What a board's owner asks for before an update goes on; the keys of app.config."""

    windows: Sequence[DailyWindow] = ()
    hold_max_s: float = 0.0
    min_free_memory_mb: float = 0.0
    min_free_disk_mb: float = 0.0
    max_temperature_c: float = 0.0
    require_mains_power: bool = False


def waits_for(board: Board, limits: Limits, needed_mb: float = 0.0) -> Failure | None:
    """Why an update waits now; None if nothing speaks against it.

    Args:
        board: What is seen.
        limits: What is asked for.
        needed_mb: What the update's next step adds to the disk.
    """
    reasons = (
        check_window(board.local, limits.windows),
        check_hold(board.held_s, limits.hold_max_s),
        check_power(board.on_mains, required=limits.require_mains_power),
        check_temperature(board.temperature_c, limits.max_temperature_c),
        check_memory(board.memory_available_mb, limits.min_free_memory_mb),
        check_disk(board.disk_free_mb, needed_mb, limits.min_free_disk_mb),
    )
    return next(filter(None, reasons), None)


def check_window(local: datetime | None, windows: Sequence[DailyWindow]) -> Failure | None:
    """Whether it is the time for it."""
    if not windows:
        return None
    listed = ", ".join(map(str, windows))
    if local is None:
        return _because("WAITS_FOR_WINDOW", f"The clock is not set; updates may run {listed}.")
    if any(window.holds(local.time()) for window in windows):
        return None
    return _because("WAITS_FOR_WINDOW", f"Updates may run {listed}.")


def check_hold(held_s: float | None, max_s: float) -> Failure | None:
    """Whether the workload asks for time, and has not had all of it."""
    if held_s is None or held_s >= max_s:
        return None
    return _because("WAITS_FOR_WORKLOAD", f"An application asks to wait, {max_s:.0f} s at most.")


def check_power(on_mains: bool | None, *, required: bool) -> Failure | None:
    """Whether the board has the power that it needs."""
    if not required or on_mains:
        return None
    return _because(
        "WAITS_FOR_POWER",
        "The board shows no power supply." if on_mains is None else "The board runs on battery.",
    )


def check_temperature(temperature_c: float | None, max_c: float) -> Failure | None:
    """Whether the board is cool enough; 0 allows everything."""
    if max_c == 0:
        return None
    if temperature_c is None:
        return _because("WAITS_FOR_TEMPERATURE", "The board shows no temperature.")
    if temperature_c <= max_c:
        return None
    return _because(
        "WAITS_FOR_TEMPERATURE", f"The board is hotter than {max_c:g} C, the limit for updates."
    )


def check_memory(available_mb: float, min_mb: float) -> Failure | None:
    """Whether another model can be loaded beside what runs."""
    if available_mb >= min_mb:
        return None
    return _because("WAITS_FOR_MEMORY", f"Less than {min_mb:g} MB of memory is available.")


def check_disk(free_mb: float, needed_mb: float, min_mb: float) -> Failure | None:
    """Whether the files find room, and the board keeps what it needs."""
    if free_mb - needed_mb >= min_mb:
        return None
    return _because(
        "WAITS_FOR_DISK",
        f"The update needs {needed_mb:.1f} MB, and {min_mb:g} MB must stay free.",
    )


def _because(code: str, sentence: str) -> Failure:
    """Sentences hold no reading that changes: what waits is told once."""
    return Failure(code=code, sentence=sentence)
