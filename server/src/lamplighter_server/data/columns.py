"""Columns of rows in memory as NumPy arrays, for statistics and for training. Pure."""

from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from lamplighter_server.data.schema import NUMERIC, Column

Array = npt.NDArray[Any]
Floats = npt.NDArray[np.float64]
Codes = npt.NDArray[np.int64]

#: Whole numbers with more distinct values are quantities, not classes.
MAX_CLASSES: Final = 50


def to_floats(rows: pa.Table, column: Column) -> Floats:
    """A numeric or time column as float64, NaN where it is empty; times in seconds since 1970."""
    cells = rows[column.name]
    if column.kind == "time":
        return np.asarray(pc.cast(cells, pa.int64()).to_numpy(), dtype=np.float64) / 1e6
    if column.kind == "boolean":
        cells = pc.cast(cells, pa.int8())
    return np.asarray(pc.cast(cells, pa.float64()).to_numpy(), dtype=np.float64)


def to_codes(rows: pa.Table, column: Column) -> tuple[Codes, tuple[str, ...]]:
    """A column as positions among its distinct values in sorted order, -1 where it is empty."""
    cells = rows[column.name].combine_chunks()
    known = pc.unique(cells.drop_null())
    known = known.take(pc.sort_indices(known))
    positions = pc.index_in(cells, value_set=known).fill_null(-1)
    codes = np.asarray(positions.to_numpy(zero_copy_only=False), dtype=np.int64)
    return codes, tuple(str(value) for value in known.to_pylist())


def to_tensor(rows: pa.Table, column: Column) -> Array:
    """A tensor column, shape (n, *column.shape)."""
    cells = rows[column.name].combine_chunks()
    if isinstance(cells, pa.ChunkedArray):
        cells = pa.concat_arrays(cells.chunks) if cells.num_chunks else pa.array([], cells.type)
    flat = cells.flatten().to_numpy(zero_copy_only=False)
    shaped: Array = flat.reshape(-1, *column.shape)
    return shaped


def is_classification(rows: pa.Table, label: Column) -> bool:
    """Whether a label names classes; otherwise it is a quantity."""
    if label.kind in {"category", "boolean"}:
        return True
    return label.kind == "integer" and len(pc.unique(rows[label.name])) <= MAX_CLASSES


def is_numeric_feature(column: Column) -> bool:
    """Whether a column is a feature whose values are numbers."""
    return column.role == "feature" and column.kind in NUMERIC
