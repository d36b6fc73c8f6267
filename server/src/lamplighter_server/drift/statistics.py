"""Two-sample tests on counts in fixed bins, and the correction for asking many questions.

Both samples are counts: the reference is a sample too, so every test is two-sample. A test on a
finite reference that treats it as exact raises several times the promised number of alarms.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from scipy import special

MIN_EXPECTED = 5.0
"""Below this expected count, cells are pooled (the usual rule for the chi-square test)."""

_Exact = npt.NDArray[np.float64]


class Difference(NamedTuple):
    """The outcome of one test."""

    effect: float
    """0 equal to 1 disjoint: the KS distance or the total variation distance."""
    p: float
    """The probability of at least this difference if both come from one distribution."""


_NO_DIFFERENCE = Difference(0.0, 1.0)


def effective_size(n_reference: int, n_observed: int) -> float:
    """The size of the one sample that is as informative as these two: nm / (n + m)."""
    total = n_reference + n_observed
    return n_reference * n_observed / total if total else 0.0


def ks_binned(
    reference: Sequence[int], observed: Sequence[int], *, overdispersion: float = 1.0
) -> Difference:
    """The Kolmogorov-Smirnov test at the edges of shared, ordered bins.

    The distance is taken at the edges only, so it is at most that of the raw values and the
    asymptotic Kolmogorov distribution errs on the side of fewer alarms.

    Args:
        reference: Counts per bin in ascending order, below and above included, null not.
        observed: The same for the sample under test.
        overdispersion: How many times larger the variance of counts is than for independent
            rows, 1 or more; the sample sizes are divided by it.
    """
    n_reference, n_observed = sum(reference), sum(observed)
    if not n_reference or not n_observed:
        return _NO_DIFFERENCE
    distance = float(
        np.abs(np.cumsum(reference) / n_reference - np.cumsum(observed) / n_observed).max()
    )
    size = effective_size(n_reference, n_observed) / overdispersion
    return Difference(distance, float(special.kolmogorov(distance * size**0.5)))


def chi_square(
    reference: Sequence[int], observed: Sequence[int], *, overdispersion: float = 1.0
) -> Difference:
    """Pearson's test of homogeneity of two count vectors, small cells pooled.

    Which cells are pooled depends on the sum of both vectors only, which says nothing on their
    difference. The effect is the total variation distance of the unpooled shares.

    Args:
        reference: Counts per category.
        observed: Counts per category, in the same order.
        overdispersion: As in ks_binned; the statistic is divided by it.
    """
    table = np.array([reference, observed], dtype=np.float64)
    rows = table.sum(axis=1)
    if not rows.all():
        return _NO_DIFFERENCE
    effect = float(np.abs(table[0] / rows[0] - table[1] / rows[1]).sum() / 2)
    pooled = _pool(table)
    if pooled.shape[1] < 2:
        return Difference(effect, 1.0)
    expected = np.outer(rows, pooled.sum(axis=0)) / rows.sum()
    statistic = float(((pooled - expected) ** 2 / expected).sum()) / overdispersion
    return Difference(effect, float(special.chdtrc(pooled.shape[1] - 1, statistic)))


def _pool(table: _Exact) -> _Exact:
    """Join the rarest categories until every expected count is at least MIN_EXPECTED."""
    ascending = table[:, np.argsort(table.sum(axis=0), kind="stable")]
    least = MIN_EXPECTED * table.sum() / table.sum(axis=1).min()
    sums = ascending.sum(axis=0)
    rare = int((sums < least).sum())
    while 0 < rare < len(sums) and sums[:rare].sum() < least:
        rare += 1
    if rare == 0:
        return ascending
    return np.column_stack([ascending[:, :rare].sum(axis=1), ascending[:, rare:]])


def benjamini_hochberg(p_values: Sequence[float], level: float) -> list[bool]:
    """Which hypotheses to reject so that the expected share of false ones is at most `level`.

    If every hypothesis is true, anything is rejected with probability `level` at most
    (Benjamini and Hochberg 1995; valid for independent and for positively dependent tests).

    Args:
        p_values: One per hypothesis of the family.
        level: 0 to 1.
    """
    p = np.asarray(p_values, dtype=np.float64)
    order = np.argsort(p)
    below = np.flatnonzero(p[order] <= level * np.arange(1, len(p) + 1) / len(p))
    rejected = np.zeros(len(p), dtype=bool)
    if len(below):
        rejected[order[: below[-1] + 1]] = True
    return [bool(value) for value in rejected]
