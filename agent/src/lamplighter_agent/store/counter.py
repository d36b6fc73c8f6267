"""The counter of signed reports: stored before each, in place, so that a full disk can say so."""

import contextlib
import os
import struct
import time
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from lamplighter_agent.durable import disk_errors, replace

#: Disks write a sector as a whole; the two slots lie in two of them and take turns.
_SECTOR_BYTES: Final = 512
_NUMBER: Final = struct.Struct(">Q")
_SLOT: Final = struct.Struct(">8sI")


class ReportCounter:
    """Gives each number once over the device's life, rising.

    Where the file is missing or damaged it goes on from the present time in milliseconds: above
    all numbers that were given before, as a thousand a second never are.

    Args:
        path: The file, of two slots. A power cut spoils at most the slot that is written.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._last = _read(path)

    def next(self) -> int:
        """Take a number that was never given before.

        Raises:
            LamplighterError: DISK_FAILED, or DISK_FULL if the file is not there yet.
        """
        if self._last is None:
            first = int(time.time() * 1000)
            replace(self._path, _slot(first).ljust(_SECTOR_BYTES, b"\0") * 2)
            self._last = first
        number = self._last + 1
        with disk_errors(), _opened(self._path, os.O_WRONLY) as file:
            os.pwrite(file, _slot(number), number % 2 * _SECTOR_BYTES)
            os.fdatasync(file)
        self._last = number
        return number


def _slot(number: int) -> bytes:
    raw = _NUMBER.pack(number)
    return _SLOT.pack(raw, zlib.crc32(raw))


def _read(path: Path) -> int | None:
    """The highest number of an undamaged slot."""
    try:
        with _opened(path, os.O_RDONLY) as file:
            raw = os.pread(file, 2 * _SECTOR_BYTES, 0)
    except OSError:
        return None
    slots = [_SLOT.unpack_from(raw, at) for at in (0, _SECTOR_BYTES) if at + _SLOT.size <= len(raw)]
    numbers = [_NUMBER.unpack(number)[0] for number, crc in slots if zlib.crc32(number) == crc]
    return max(numbers, default=None)


@contextlib.contextmanager
def _opened(path: Path, flags: int) -> Iterator[int]:
    file = os.open(path, flags | os.O_NOFOLLOW)
    try:
        yield file
    finally:
        os.close(file)
