"""A file of results: one JSON document per line, rotated."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import msgspec

_MB: Final = 2**20


class _Table(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    path: str
    max_mb: float = 16.0
    """The file is begun anew at this size."""
    keep: int = 4
    """How many earlier files stay, as `path.1` (the newest) to `path.N`."""


class FileSink:
    """Appends; a line that was cut short by a power cut is followed by a whole one."""

    def __init__(self, table: dict[str, Any]) -> None:
        self._table = msgspec.convert(table, _Table)
        if self._table.max_mb <= 0 or self._table.keep < 0:
            raise ValueError("max_mb must be above 0, keep must not be negative")
        self._path = Path(self._table.path)

    def put(self, result: Mapping[str, Any]) -> None:
        """See ports.feed; on disk when it returns."""
        line = msgspec.json.encode(result) + b"\n"
        if _size(self._path) + len(line) > self._table.max_mb * _MB:
            self._rotate()
        with self._path.open("ab+") as file:
            if file.tell() and not _ends_line(file.fileno(), file.tell()):
                file.write(b"\n")
            file.write(line)
            file.flush()
            os.fsync(file.fileno())

    def _rotate(self) -> None:
        names = [self._path, *(self._numbered(n) for n in range(1, self._table.keep + 1))]
        for older, newer in zip(reversed(names), reversed(names[:-1]), strict=False):
            if newer.exists():
                newer.replace(older)
        if self._table.keep == 0:
            self._path.unlink(missing_ok=True)

    def _numbered(self, number: int) -> Path:
        return self._path.with_name(f"{self._path.name}.{number}")


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0


def _ends_line(descriptor: int, size_bytes: int) -> bool:
    return os.pread(descriptor, 1, size_bytes - 1) == b"\n"
