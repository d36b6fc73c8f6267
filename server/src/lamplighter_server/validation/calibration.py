"""Whether the confidence of a classifier is the share of its right answers."""

from typing import Final, NamedTuple

import numpy as np

from lamplighter_server.validation.predictions import Codes, Floats, Predictions
from lamplighter_server.validation.resampling import Draws, Figure
from lamplighter_server.validation.results import CalibrationBin

MAX_BINS: Final = 15
#: The variance of a share over fewer rows could not be told, and so not subtracted.
MIN_BIN_ROWS: Final = 30


class Bins(NamedTuple):
    """The held-out rows by confidence, in bins of equally many rows; equal ones stay together."""

    position: Codes
    """Of each row, shape (n,)."""
    confidence: Floats
    right: Floats

    @property
    def many(self) -> int:
        """How many bins there are."""
        return int(self.position.max()) + 1


def bin_rows(p: Predictions) -> Bins:
    """Put the rows into bins by the probability of the class that they were given."""
    confidence = p.answers.max(axis=1).astype(np.float64)
    bins = min(MAX_BINS, max(1, p.rows // MIN_BIN_ROWS))
    edges = np.unique(np.quantile(confidence, np.linspace(0, 1, bins + 1)[1:-1]))
    _, position = np.unique(np.searchsorted(edges, confidence, side="left"), return_inverse=True)
    return Bins(position, confidence, (p.labels == p.truth).astype(np.float64))


def curve(bins: Bins) -> tuple[CalibrationBin, ...]:
    """Confidence and accuracy of every bin."""
    rows = np.bincount(bins.position)
    confidence = np.bincount(bins.position, bins.confidence) / rows
    accuracy = np.bincount(bins.position, bins.right) / rows
    return tuple(
        CalibrationBin(rows=int(n), confidence=float(c), accuracy=float(a))
        for n, c, a in zip(rows, confidence, accuracy, strict=True)
    )


def error(bins: Bins) -> float:
    """The root mean square distance of confidence and accuracy over bins, without its bias.

    The plain distance (Naeini et al. 2015, Guo et al. 2017) is above 0 for a perfect model, the
    more so the fewer the rows. This is the estimator of Kumar, Liang and Ma (2019), Verified
    Uncertainty Calibration, section 4: the variance of each bin's share is subtracted.
    """
    even, nothing = np.ones((1, len(bins.position))), np.zeros(1)
    return float(np.sqrt(max(0.0, _squared(bins, even, nothing)[0] - _bias(bins))))


def error_draws(bins: Bins) -> Figure:
    """The same over resamples: weighting adds the variance of the shares once more.

    The imagined row is a wrong answer of the highest confidence.
    """
    bias = 2 * _bias(bins)

    def figure(weights: Floats, extra: Floats) -> Draws:
        plain, worse = (
            np.sqrt(np.maximum(_squared(bins, weights, row) - bias, 0))
            for row in (np.zeros_like(extra), extra)
        )
        return Draws(np.minimum(plain, worse), plain, np.maximum(plain, worse))

    return figure


def _squared(bins: Bins, weights: Floats, extra: Floats) -> Floats:
    inside = np.eye(bins.many)[bins.position]
    gaps = weights @ (inside * (bins.confidence - bins.right)[:, None])
    mass = weights @ inside
    gaps[:, -1] += extra * bins.confidence.max()
    mass[:, -1] += extra
    squares: Floats = (gaps**2 / mass).sum(axis=1) / mass.sum(axis=1)
    return squares


def _bias(bins: Bins) -> float:
    """The sum of the variances of the bins' mean gaps, each weighted by its share of rows."""
    rows = np.bincount(bins.position)
    gap = bins.confidence - bins.right
    means = np.bincount(bins.position, gap) / rows
    squares = np.bincount(bins.position, (gap - means[bins.position]) ** 2)
    variance = squares / np.maximum(rows - 1, 1) / rows
    return float((rows * variance).sum() / rows.sum())
