"""What a check finds. The verdicts are pure functions of what was seen."""

import stat
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Final, Literal

import msgspec

from lamplighter_protocol.errors import LamplighterError
from lamplighter_protocol.renewal import Validity

#: A board whose clock differs more from the server's than this files its telemetry wrongly.
MAX_SKEW_S: Final = 60.0
SLOW_FSYNC_S: Final = 1.0
MIN_FREE_INODES: Final = 1000
HOT_C: Final = 80.0
STALE_TRUST: Final = timedelta(days=2)


class Finding(msgspec.Struct, frozen=True):
    """The outcome of one check."""

    check: str
    verdict: Literal["ok", "warn", "fail"]
    sentence: str
    remedy: str = ""


def ok(check: str, sentence: str) -> Finding:
    """Nothing is to be done."""
    return Finding(check, "ok", sentence)


def warn(check: str, sentence: str, remedy: str) -> Finding:
    """It works, but not well or not for long."""
    return Finding(check, "warn", sentence, remedy)


def fail(check: str, sentence: str, remedy: str) -> Finding:
    """The agent cannot do its work like this."""
    return Finding(check, "fail", sentence, remedy)


def refused(check: str, error: LamplighterError) -> Finding:
    """What an expected error says."""
    return fail(check, f"{error.code}: {error.sentence}", error.remedy)


def judge_clock(
    clock_utc: datetime, floor_utc: datetime | None, door_utc: datetime | None
) -> Finding:
    """The clock against what was signed and against the server's.

    Args:
        clock_utc: The board's clock.
        floor_utc: Not earlier than this, by what was signed; None if nothing was verified yet.
        door_utc: What the server says; None if it does not answer.
    """
    remedy = "Let the board set its clock: 'timedatectl set-ntp true', then 'timedatectl status'."
    if floor_utc is not None and clock_utc < floor_utc:
        return fail(
            "clock", f"It shows {_show(clock_utc)}, but it is {_show(floor_utc)} or later.", remedy
        )
    if door_utc is not None:
        skew_s = (clock_utc - door_utc).total_seconds()
        if abs(skew_s) > MAX_SKEW_S:
            way = "ahead of" if skew_s > 0 else "behind"
            return warn("clock", f"It is {abs(skew_s):.0f} s {way} the server's.", remedy)
        return ok("clock", f"{_show(clock_utc)}, as on the server.")
    return ok("clock", f"{_show(clock_utc)}; the server cannot be asked.")


def judge_validity(validity: Validity, now_utc: datetime) -> Finding:
    """The life of the device's certificate."""
    until = _show(validity.until_utc)
    if validity.has_ended(now_utc):
        return warn(
            "certificate",
            f"It expired {until}; the agent renews it by itself.",
            "Start the agent, and let the devices' door be in reach.",
        )
    if validity.is_due(now_utc):
        return warn(
            "certificate",
            f"It is due for renewal; it expires {until}.",
            "Nothing if the agent is connected; else look at 'broker' and 'door' here.",
        )
    return ok("certificate", f"It expires {until}; the key is its own, the invited CA issued it.")


def judge_trust(floor_utc: datetime, changes_until_utc: datetime, now_utc: datetime) -> Finding:
    """The age of the verified metadata (docs/reference/offline-policy.md)."""
    if now_utc >= changes_until_utc:
        return warn(
            "trust",
            f"It expired {_show(changes_until_utc)}: nothing is changed, serving goes on.",
            "On the server: 'lamplighter keys status'; then let the board connect.",
        )
    age = now_utc - floor_utc
    told = f"The newest metadata is {age / timedelta(hours=1):.0f} h old"
    until = f"changes are allowed until {_show(changes_until_utc)}."
    if age > STALE_TRUST:
        return warn("trust", f"{told}; {until}", "Let the board connect.")
    return ok("trust", f"{told}; {until}")


def judge_secret(name: str, mode: int, *, own: bool) -> Finding | None:
    """Who may read a secret file; None if only its owner may.

    Args:
        name: Its path.
        mode: Its permission bits.
        own: Whether it belongs to who owns the data folder.
    """
    if mode & (stat.S_IRWXG | stat.S_IRWXO):
        return fail("secrets", f"Others may read {name}.", f"chmod go= {name}")
    if not own:
        return fail(
            "secrets",
            f"{name} belongs to somebody else than its folder.",
            "Run 'enrol' and 'run' as one user, or: chown -R of the data folder.",
        )
    return None


def judge_space(free_mb: float, free_inodes: int | None, min_mb: float) -> Finding:
    """The room on the disk.

    Args:
        free_mb: What the agent may still write.
        free_inodes: How many files; None on file systems that do not count them.
        min_mb: What shall stay free, as configured.
    """
    if free_mb < min_mb:
        return fail(
            "space",
            f"{free_mb:.0f} MB are free; updates wait below {min_mb:.0f} MB.",
            "Free some space, or lower 'min_free_disk_mb'.",
        )
    if free_inodes is not None and free_inodes < MIN_FREE_INODES:
        return fail(
            "space", f"Only {free_inodes} more files fit on the disk.", "Delete small files."
        )
    return ok("space", f"{free_mb:.0f} MB are free.")


def judge_fsync(seconds: float) -> Finding:
    """How long the disk takes to make one small file durable."""
    if seconds > SLOW_FSYNC_S:
        return warn(
            "storage",
            f"One durable write takes {seconds:.1f} s.",
            "The card may be worn out or busy: replace it, or look at 'iotop'.",
        )
    return ok("storage", f"It can be written; one durable write takes {seconds * 1000:.0f} ms.")


def judge_memory(available_mb: float, min_mb: float) -> Finding:
    """What a new worker could have."""
    if available_mb < min_mb:
        return fail(
            "memory",
            f"{available_mb:.0f} MB are available; updates wait below {min_mb:.0f} MB.",
            "End what takes memory, or lower 'min_free_memory_mb'.",
        )
    return ok("memory", f"{available_mb:.0f} MB are available.")


def judge_heat(temperature_c: float | None, throttling: Sequence[str] | None) -> Finding:
    """Whether the board runs as fast as it could."""
    if throttling and "under-voltage" in throttling:
        return warn(
            "heat", "The power supply is too weak: the board slows down.", "Use a stronger one."
        )
    if throttling:
        return warn("heat", f"The board slows down: {', '.join(throttling)}.", "Cool it.")
    if temperature_c is None:
        return ok("heat", "The board shows no temperature.")
    if temperature_c >= HOT_C:
        return warn("heat", f"The board has {temperature_c:.0f} C.", "Cool it: look at its fan.")
    return ok("heat", f"{temperature_c:.0f} C, and nothing slows it down.")


def _show(moment: datetime) -> str:
    return f"{moment:%Y-%m-%d %H:%M} UTC"
