import errno
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lamplighter_agent.store.counter import ReportCounter
from lamplighter_protocol.errors import LamplighterError


def failing(error: int) -> Callable[..., Any]:
    def fail(*_: object) -> int:
        raise OSError(error, os.strerror(error))

    return fail


def test_numbers_rise_over_restarts(tmp_path: Path) -> None:
    place = tmp_path / "report-counter"
    numbers = []
    for _ in range(3):
        counter = ReportCounter(place)
        numbers += [counter.next(), counter.next(), counter.next()]
    assert numbers == list(range(numbers[0], numbers[0] + 9))


@given(st.integers(1, 5), st.integers(0, 1023), st.integers(1, 255))
def test_one_spoilt_byte_gives_no_number_twice_but_the_newest(
    tmp_path_factory: pytest.TempPathFactory, given_before: int, at: int, change: int
) -> None:
    """A power cut spoils only the slot that is written, and its number was not used then."""
    place = tmp_path_factory.mktemp("counter") / "report-counter"
    counter = ReportCounter(place)
    last = [counter.next() for _ in range(given_before)][-1]
    raw = bytearray(place.read_bytes())
    raw[at] ^= change
    place.write_bytes(raw)
    assert ReportCounter(place).next() in {last, last + 1}


@pytest.mark.parametrize("damage", [b"", b"x" * 1024, None])
def test_a_lost_file_goes_on_from_the_time(tmp_path: Path, damage: bytes | None) -> None:
    place = tmp_path / "report-counter"
    last = ReportCounter(place).next()
    if damage is None:
        place.unlink()
    else:
        place.write_bytes(damage)
    time.sleep(0.002)
    assert ReportCounter(place).next() > last


def test_a_link_in_its_place_is_not_followed(tmp_path: Path) -> None:
    place, victim = tmp_path / "report-counter", tmp_path / "victim"
    victim.write_bytes(b"x" * 1024)
    place.symlink_to(victim)
    ReportCounter(place).next()
    assert victim.read_bytes() == b"x" * 1024


@pytest.mark.parametrize(
    ("error", "code"), [(errno.EIO, "DISK_FAILED"), (errno.EROFS, "DISK_FAILED")]
)
def test_a_number_that_could_not_be_stored_is_not_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: int, code: str
) -> None:
    counter = ReportCounter(tmp_path / "report-counter")
    last = counter.next()
    with monkeypatch.context() as patched:
        patched.setattr(os, "fdatasync", failing(error))
        with pytest.raises(LamplighterError, match=code):
            counter.next()
    assert counter.next() == last + 1


def test_it_counts_on_a_full_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where nothing new can be made, what is there already is written in place."""
    place = tmp_path / "report-counter"
    last = ReportCounter(place).next()
    real_open = os.open

    def full(path: Any, flags: int, *rest: Any, **named: Any) -> int:
        if flags & os.O_CREAT:
            raise OSError(errno.ENOSPC, "No space left on device")
        return real_open(path, flags, *rest, **named)

    monkeypatch.setattr(os, "open", full)
    assert ReportCounter(place).next() == last + 1
    assert ReportCounter(place).next() == last + 2
    place.unlink()
    with pytest.raises(LamplighterError, match="DISK_FULL"):
        ReportCounter(place).next()
