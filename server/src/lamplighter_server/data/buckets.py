"""Many row hashes at a bounded cost of memory: on disk, looked at a bucket at a time."""

import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Final, Self

import numpy as np

from lamplighter_server.data.fingerprints import Hashes

BUCKETS: Final = 64


class Buckets:
    """Records of hashes on disk, partitioned by the first hash; one bucket is looked at at a time.

    Args:
        width: How many hashes make a record.
    """

    def __init__(self, width: int) -> None:
        self._width = width
        self._folder = tempfile.TemporaryDirectory(prefix="lamplighter-rows-")

    def __enter__(self) -> Self:
        """Use it in a block."""
        return self

    def __exit__(self, *_error: object) -> None:
        """Remove the files."""
        self._folder.cleanup()

    def add(self, *columns: Hashes) -> None:
        """Add records, given as one array for each of their hashes."""
        records = np.column_stack(columns)
        where = (records[:, 0] % np.uint64(BUCKETS)).astype(np.int64)
        order = np.argsort(where, kind="stable")
        ends = np.searchsorted(where[order], np.arange(BUCKETS + 1))
        for number in range(BUCKETS):
            chosen = order[ends[number] : ends[number + 1]]
            if len(chosen):
                with self._path(number).open("ab") as file:
                    file.write(records[chosen].tobytes())

    def __iter__(self) -> Iterator[Hashes]:
        """Each bucket's records, shape (n, width), also empty ones, in a fixed order."""
        for number in range(BUCKETS):
            path = self._path(number)
            raw = path.read_bytes() if path.exists() else b""
            yield np.frombuffer(raw, dtype=np.uint64).reshape(-1, self._width)

    def count_repeated(self) -> int:
        """How many records repeat the first hash of an earlier one."""
        return sum(len(records) - len(np.unique(records[:, 0])) for records in self)

    def _path(self, number: int) -> Path:
        return Path(self._folder.name) / str(number)
