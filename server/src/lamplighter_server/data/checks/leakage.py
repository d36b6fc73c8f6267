"""Leakage: a single column that tells the label by itself. Pure."""

from typing import Final

import numpy as np
import pyarrow as pa

from lamplighter_server.data.checks.findings import Finding, finding
from lamplighter_server.data.columns import (
    Codes,
    Floats,
    is_classification,
    to_codes,
    to_floats,
)
from lamplighter_server.data.declaration import Limits
from lamplighter_server.data.schema import NUMERIC, Column, Schema

BINS: Final = 64
#: Of fewer rows in a class nothing is concluded.
MIN_CLASS_ROWS: Final = 10
_FOLDS: Final = 2
#: No seed that somebody would draw data with: the folds would follow the labels.
_SEED: Final = 0x6C656176


def check_leakage(schema: Schema, sample: pa.Table, limits: Limits) -> list[Finding]:
    """Every feature and identifier by itself, learnt on one half of the sample, tried on the other.

    Other halves for learning and trying make columns whose values never repeat score nothing.
    """
    label = schema.label
    if label is None or label.hashed or label.kind in {"tensor", "image"}:
        return []
    found = []
    for column in schema.stored:
        if column.role not in {"feature", "identifier"} or column.kind in {"tensor", "image"}:
            continue
        reached = _score(sample, _cells(sample, column), label)
        if reached >= limits.leakage_score:
            found.append(
                finding(
                    "LEAKAGE",
                    f"{column.name} alone tells {label.name}: score {reached:.3f} of 1.",
                    column.name,
                )
            )
    return found


def _score(sample: pa.Table, cells: Codes, label: Column) -> float:
    if is_classification(sample, label):
        return predictability(cells, to_codes(sample, label)[0])
    return explained_variance(cells, to_floats(sample, label))


def predictability(cells: Codes, labels: Codes) -> float:
    """How well classes follow from the cells: 0 by chance, 1 exactly.

    The balanced accuracy of the class that is most over-represented in a cell, rescaled so that
    guessing is 0; two folds. Classes with fewer than MIN_CLASS_ROWS rows are left out.

    Args:
        cells: Bin or category of each row, from 0, shape (n,).
        labels: Class of each row; -1 is unknown.
    """
    common = np.flatnonzero(np.bincount(labels[labels >= 0]) >= MIN_CLASS_ROWS)
    known = np.isin(labels, common)
    if len(common) < 2:
        return 0.0
    cells, labels = cells[known], np.searchsorted(common, labels[known])
    width, classes = int(cells.max()) + 1, len(common)
    fold = _folds(len(labels))
    hits = np.zeros(classes)
    for held_out in range(_FOLDS):
        learn, probe = fold != held_out, fold == held_out
        counts = np.zeros((width, classes))
        np.add.at(counts, (cells[learn], labels[learn]), 1)
        shares = counts / np.maximum(counts.sum(axis=0), 1)
        guess = np.where(shares.any(axis=1), shares.argmax(axis=1), -1)
        right = guess[cells[probe]] == labels[probe]
        hits += np.bincount(labels[probe], weights=right, minlength=classes)
    balanced = float((hits / np.bincount(labels, minlength=classes)).mean())
    return max(0.0, (balanced - 1 / classes) / (1 - 1 / classes))


def explained_variance(cells: Codes, values: Floats) -> float:
    """R squared of the mean in each cell, learnt on the other fold; 0 if it is worse than none.

    Args:
        cells: Bin or category of each row, from 0, shape (n,).
        values: The quantity; rows where it is not finite are left out.
    """
    known = np.isfinite(values)
    cells, values = cells[known], values[known]
    if len(values) < 2 * MIN_CLASS_ROWS or not values.std():
        return 0.0
    fold = _folds(len(values))
    guess = np.empty(len(values))
    for held_out in range(_FOLDS):
        learn, probe = fold != held_out, fold == held_out
        rows = np.bincount(cells[learn], minlength=int(cells.max()) + 1)
        sums = np.bincount(cells[learn], weights=values[learn], minlength=len(rows))
        means = np.where(rows, sums / np.maximum(rows, 1), values[learn].mean())
        guess[probe] = means[cells[probe]]
    return max(0.0, 1 - float(((values - guess) ** 2).mean() / values.var()))


def _folds(rows: int) -> Codes:
    return np.random.default_rng(_SEED).permutation(rows) % _FOLDS


def _cells(sample: pa.Table, column: Column) -> Codes:
    """Quantile bins of numbers, positions of categories; the last one holds what is empty."""
    if column.kind not in NUMERIC | {"time"}:
        codes, known = to_codes(sample, column)
        return np.where(codes < 0, len(known), codes)
    values = to_floats(sample, column)
    finite = values[np.isfinite(values)]
    if not len(finite):
        return np.zeros(len(values), dtype=np.int64)
    edges = np.unique(np.quantile(finite, np.linspace(0, 1, BINS + 1)[1:-1]))
    bins = np.searchsorted(edges, np.nan_to_num(values), side="right").astype(np.int64)
    return np.where(np.isnan(values), len(edges) + 1, bins)
