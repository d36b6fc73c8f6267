"""Reads a file that somebody has carried to the board (lamplighter_protocol.carried)."""

import stat
import struct
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from lamplighter_protocol.carried import MAX_ENTRIES, check_entry
from lamplighter_protocol.errors import LamplighterError
from lamplighter_protocol.names import MAX_TRUST_FILE_BYTES
from lamplighter_protocol.topics import Topics


class CarriedFile:
    """An open file whose form is in order; nothing in it is unpacked to the disk.

    Args:
        path: The file.
        topics: Topics of the device's fleet.
        device: Whom it must be for.

    Raises:
        LamplighterError: CARRIED_DAMAGED if it is cut short or no ZIP; CARRIED_REFUSED if it holds
            links, compressed, encrypted, overlapping, oversized or repeated entries, or names that
            are no topics; ASSIGNMENT_FOREIGN if it is for another device.
    """

    def __init__(self, path: Path, topics: Topics, device: str) -> None:
        with _damage(path):
            self._archive = zipfile.ZipFile(path)
        try:
            self.names = self._check(path.stat().st_size, topics, device)
        except BaseException:
            self.close()
            raise

    def _check(self, size_bytes: int, topics: Topics, device: str) -> tuple[str, ...]:
        entries = self._archive.infolist()
        names = tuple(entry.filename for entry in entries)
        if len(entries) > MAX_ENTRIES or len(set(names)) != len(names):
            raise LamplighterError("CARRIED_REFUSED", "It has too many or repeated entries.")
        if sum(entry.file_size for entry in entries) > size_bytes:
            raise LamplighterError("CARRIED_REFUSED", "It would unpack to more than it is.")
        for entry in entries:
            check_entry(entry.filename, topics, device)
            mode = entry.external_attr >> 16
            plain = (entry.compress_type, entry.flag_bits & 1) == (zipfile.ZIP_STORED, 0)
            if not plain or (stat.S_IFMT(mode) and not stat.S_ISREG(mode)):
                raise LamplighterError(
                    "CARRIED_REFUSED", f"{entry.filename} is a link, compressed or encrypted."
                )
            if entry.file_size > MAX_TRUST_FILE_BYTES:
                raise LamplighterError("CARRIED_REFUSED", f"{entry.filename} is too large.")
        return names

    def read(self, name: str) -> bytes:
        """One entry.

        Raises:
            LamplighterError: CARRIED_DAMAGED.
        """
        with _damage(Path(self._archive.filename or "")):
            return self._archive.read(name)

    def close(self) -> None:
        """Close the file."""
        self._archive.close()


@contextmanager
def _damage(path: Path) -> Iterator[None]:
    try:
        yield
    except (
        *(zipfile.BadZipFile, zipfile.LargeZipFile, NotImplementedError, RuntimeError),
        *(OSError, EOFError, ValueError, KeyError, struct.error),
    ) as error:
        raise LamplighterError(
            "CARRIED_DAMAGED", f"{path.name} cannot be read in full: {error}."
        ) from error
