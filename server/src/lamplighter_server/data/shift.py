"""How far columns have moved between two samples, in the bins of the first. Pure."""

from collections.abc import Sequence
from typing import Final, Literal

import msgspec
import numpy as np
import pyarrow as pa

from lamplighter_protocol.binning import count_categories, count_numeric, quantile_edges
from lamplighter_server.data.columns import to_floats
from lamplighter_server.data.profile import is_numeric
from lamplighter_server.data.schema import Column
from lamplighter_server.drift.statistics import (
    Difference,
    benjamini_hochberg,
    chi_square,
    ks_binned,
)

LEVEL: Final = 0.01
MAX_COMPARED_CATEGORIES: Final = 1000


class Shift(msgspec.Struct, frozen=True, kw_only=True):
    """One column of two samples."""

    column: str
    measure: Literal["ks", "total-variation"]
    effect: float
    """The distance, 0 to 1; empty cells count as a value of their own in categories."""
    p: float
    significant: bool
    """After Benjamini-Hochberg over all columns at LEVEL."""


def find_shifts(columns: Sequence[Column], before: pa.Table, after: pa.Table) -> list[Shift]:
    """Compare the columns that both samples have, the largest distance first.

    Args:
        columns: Of one kind in both; tensors, images and hashed columns are passed over.
        before: Rows of the first version; its quantiles make the bins.
        after: Rows of the second.
    """
    tests: list[tuple[Column, Difference]] = []
    for column in columns:
        if is_numeric(column):
            tests.append((column, _compare_numbers(column, before, after)))
        elif column.kind == "category" and not column.hashed:
            tests.append((column, _compare_categories(column, before, after)))
    if not tests:
        return []
    significant = benjamini_hochberg([difference.p for _, difference in tests], LEVEL)
    shifts = [
        Shift(
            column=column.name,
            measure="ks" if is_numeric(column) else "total-variation",
            effect=difference.effect,
            p=difference.p,
            significant=certain,
        )
        for (column, difference), certain in zip(tests, significant, strict=True)
    ]
    return sorted(shifts, key=lambda shift: -shift.effect)


def _compare_numbers(column: Column, before: pa.Table, after: pa.Table) -> Difference:
    first, second = to_floats(before, column), to_floats(after, column)
    finite = first[np.isfinite(first)]
    if not len(finite):
        return Difference(0.0, 1.0)
    edges = quantile_edges(finite)
    return ks_binned(count_numeric(first, edges)[:-1], count_numeric(second, edges)[:-1])


def _compare_categories(column: Column, before: pa.Table, after: pa.Table) -> Difference:
    first, second = before[column.name].to_pylist(), after[column.name].to_pylist()
    names = sorted({value for value in [*first, *second] if value is not None})
    known = tuple(names[:MAX_COMPARED_CATEGORIES])
    return chi_square(count_categories(first, known), count_categories(second, known))
