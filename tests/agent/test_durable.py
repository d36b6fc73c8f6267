import errno
import os
from pathlib import Path

import pytest

from lamplighter_agent.durable import DISK_ERRORS, disk_errors, point, replace
from lamplighter_protocol.errors import CATALOGUE, LamplighterError


@pytest.mark.parametrize(
    ("number", "code"),
    [
        (errno.ENOSPC, "DISK_FULL"),
        (errno.EDQUOT, "DISK_FULL"),
        (errno.EIO, "DISK_FAILED"),
        (errno.EROFS, "DISK_FAILED"),
        (errno.ENODEV, "DISK_FAILED"),
    ],
)
def test_whatever_the_file_system_refuses_may_be_over_later(number: int, code: str) -> None:
    with pytest.raises(LamplighterError, match=code), disk_errors():
        raise OSError(number, os.strerror(number))
    assert CATALOGUE[code].retryable
    assert code in DISK_ERRORS


def test_the_one_before_is_kept(tmp_path: Path) -> None:
    place, before = tmp_path / "file", tmp_path / "file.before"
    replace(place, b"1", keep=before)
    assert not before.exists()
    replace(place, b"2", keep=before)
    replace(place, b"3", keep=before)
    assert (place.read_bytes(), before.read_bytes()) == (b"3", b"2")
    place.unlink()  # as a power cut between the two renames leaves it
    replace(place, b"4", keep=before)
    assert (place.read_bytes(), before.read_bytes()) == (b"4", b"2")


def test_a_link_that_cannot_be_made_leaves_the_old_one(tmp_path: Path) -> None:
    link = tmp_path / "current"
    point(link, "a")
    (tmp_path / "current.new").mkdir()
    with pytest.raises(LamplighterError, match="DISK_FAILED"):
        point(link, "b")
    assert link.readlink() == Path("a")
