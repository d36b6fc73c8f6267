"""Rows as 64-bit hashes. Pure.

A hash is of this machine's making and never stored. Two different rows of 20 million share one
with a probability of about 10 in a million.
"""

import hashlib
from collections.abc import Sequence
from typing import Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

Hashes = npt.NDArray[np.uint64]

_NULL: Final = np.uint64(0x9E3779B97F4A7C15)


def hash_rows(rows: pa.Table, names: Sequence[str]) -> Hashes:
    """One hash for each row over some of its columns, independent of how rows are batched."""
    found = np.zeros(rows.num_rows, dtype=np.uint64)
    for name in names:
        salt = np.uint64(int.from_bytes(_digest(name.encode()), "little"))
        cells = _hash_cells(rows[name].combine_chunks())
        found = _mix(_mix(found ^ salt) + cells)
    return found


def combine(first: Hashes, second: Hashes) -> Hashes:
    """One hash of each pair."""
    return _mix(_mix(first) + second)


def _hash_cells(cells: pa.Array) -> Hashes:
    if isinstance(cells, pa.ChunkedArray):
        cells = cells.chunk(0) if cells.num_chunks else pa.array([], cells.type)
    valid = cells.is_valid().to_numpy(zero_copy_only=False)
    if pa.types.is_fixed_size_list(cells.type):
        width = cells.type.list_size
        flat = cells.fill_null([0] * width) if cells.null_count else cells
        values = flat.flatten().to_numpy(zero_copy_only=False).reshape(-1, width)
        hashes = np.array([_integer(row.tobytes()) for row in values], dtype=np.uint64)
    elif pa.types.is_string(cells.type):
        encoded = cells.dictionary_encode()
        known = [_integer(text.encode()) for text in encoded.dictionary.to_pylist()]
        indices = encoded.indices.fill_null(0).to_numpy(zero_copy_only=False)
        hashes = np.array([*known, 0], dtype=np.uint64)[indices]
    elif pa.types.is_floating(cells.type):
        floats = cells.fill_null(0.0).to_numpy(zero_copy_only=False) + 0.0  # one zero only
        hashes = np.where(np.isnan(floats), np.nan, floats).view(np.uint64)
    else:
        integers = pc.cast(cells, pa.int64()).fill_null(0)
        hashes = integers.to_numpy(zero_copy_only=False).view(np.uint64)
    return np.where(valid, _mix(hashes), _NULL)


def _integer(raw: bytes) -> int:
    return int.from_bytes(_digest(raw), "little")


def _digest(raw: bytes) -> bytes:
    return hashlib.blake2b(raw, digest_size=8).digest()


def _mix(x: Hashes) -> Hashes:
    """The finalizer of SplitMix64 (Steele, Lea and Flood 2014): each bit depends on every bit."""
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))
