"""Values to counts. NumPy is imported here only, so that a supervisor need not load it."""

import numpy as np
import numpy.typing as npt

from lamplighter_protocol.counts import LATENCY_EDGES_S, LATENCY_SLOTS

Floats = npt.NDArray[np.floating]

_LATENCY = np.array(LATENCY_EDGES_S)


def quantile_edges(values: Floats, bins: int = 64) -> tuple[float, ...]:
    """Bin edges at the quantiles of a reference column; equal edges are merged.

    The last edge lies just above the largest value, so that the reference fills the bins.

    Args:
        values: Finite values of the reference, shape (n,), n >= 1.
        bins: How many bins are wanted, at most.
    """
    finite = np.sort(np.asarray(values, dtype=np.float64))
    ranks = np.linspace(0, len(finite) - 1, bins + 1).round().astype(int)
    edges = np.unique(finite[ranks])
    edges[-1] = np.nextafter(edges[-1], np.inf)
    if len(edges) == 1:  # a constant column: one bin that holds it
        edges = np.array([finite[0], edges[-1]])
    return tuple(float(edge) for edge in edges)


def count_numeric(values: Floats, edges: tuple[float, ...]) -> list[int]:
    """Counts per slot: below, the bins (edges[i] <= x < edges[i+1]), above, null (NaN)."""
    exact = np.asarray(values, dtype=np.float64)
    null = np.isnan(exact)
    slots = np.searchsorted(np.array(edges), exact[~null], side="right")
    counts = np.bincount(slots, minlength=len(edges) + 1)
    return [*counts.tolist(), int(null.sum())]


def count_categories(values: list[str | None], categories: tuple[str, ...]) -> list[int]:
    """Counts per slot: the known categories in order, other, null."""
    positions = {category: slot for slot, category in enumerate(categories)}
    counts = [0] * (len(categories) + 2)
    for value in values:
        counts[-1 if value is None else positions.get(value, len(categories))] += 1
    return counts


def count_predictions(
    classes: npt.NDArray[np.integer], confidence: Floats, edges: tuple[float, ...], labels: int
) -> list[list[int]]:
    """Counts of predicted class x confidence bin; the last bin includes its upper edge.

    Args:
        classes: Predicted label positions, shape (n,).
        confidence: The probability of the predicted label, shape (n,).
        edges: Ascending edges of the confidence bins.
        labels: How many labels there are.
    """
    bins = len(edges) - 1
    slots = np.searchsorted(np.array(edges), confidence.astype(np.float64), side="right") - 1
    flat = classes.astype(np.int64) * bins + slots.clip(0, bins - 1)
    counts = np.bincount(flat, minlength=labels * bins)
    return [row.tolist() for row in counts.reshape(labels, bins)]


def count_latencies(seconds: list[float]) -> list[int]:
    """Counts per latency slot: below, the bins, above."""
    slots = np.searchsorted(_LATENCY, seconds, side="right")
    counts: list[int] = np.bincount(slots, minlength=LATENCY_SLOTS).tolist()
    return counts
