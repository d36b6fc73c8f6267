"""Whether the confidence of a classifier is the share of its right answers."""

from typing import Final, NamedTuple

import numpy as np

from lamplighter_server.validation.predictions import Floats, Predictions
from lamplighter_server.validation.resampling import Draws, Figure
from lamplighter_server.validation.results import CalibrationBin

MAX_BINS: Final = 15
#: The variance of a share over fewer rows could not be told, and so not subtracted.
MIN_BIN_ROWS: Final = 30


class Bins(NamedTuple):
    """The held-out rows by confidence, in bins of equally many rows; equal ones stay together."""

    inside: Floats
    """Whether a row is in a bin, 0 or 1, shape (n, bins)."""
    confidence: Floats
    """Shape (n,)."""
    right: Floats
    """Whether its class was right, 0 or 1, shape (n,)."""

    def means(self, values: Floats) -> Floats:
        """The mean of each bin."""
        found: Floats = values @ self.inside / self.inside.sum(axis=0)
        return found


def bin_rows(p: Predictions) -> Bins:
    """Put the rows into bins by the probability of the class that they were given."""
    confidence = p.answers.max(axis=1).astype(np.float64)
    bins = min(MAX_BINS, max(1, p.rows // MIN_BIN_ROWS))
    edges = np.unique(np.quantile(confidence, np.linspace(0, 1, bins + 1)[1:-1]))
    _, position = np.unique(np.searchsorted(edges, confidence, side="left"), return_inverse=True)
    right = (p.labels == p.truth).astype(np.float64)
    return Bins(np.eye(int(position.max()) + 1)[position], confidence, right)


def curve(bins: Bins) -> tuple[CalibrationBin, ...]:
    """Confidence and accuracy of every bin."""
    rows = bins.inside.sum(axis=0)
    means = bins.means(bins.confidence), bins.means(bins.right)
    return tuple(
        CalibrationBin(rows=int(n), confidence=float(c), accuracy=float(a))
        for n, c, a in zip(rows, *means, strict=True)
    )


def error(bins: Bins) -> float:
    """The root mean square distance of confidence and accuracy over bins, without its bias.

    The plain distance (Naeini et al. 2015, Guo et al. 2017) is above 0 for a perfect model, the
    more so the fewer the rows. This is the estimator of Kumar, Liang and Ma (2019), Verified
    Uncertainty Calibration, section 4: the variance of each bin's share is subtracted.
    """
    gaps = bins.means(bins.confidence - bins.right)
    squared = gaps**2 @ bins.inside.sum(axis=0) / len(bins.inside)
    return float(np.sqrt(max(0.0, squared - _bias(bins))))


def error_draws(bins: Bins) -> Figure:
    """The same over resamples: weighting adds the variance of the shares once more.

    The imagined row is a wrong answer of the highest confidence.
    """
    bias = 2 * _bias(bins)
    apart = bins.inside * (bins.confidence - bins.right)[:, None]
    surest = bins.confidence.max()

    def figure(weights: Floats, extra: Floats) -> Draws:
        gaps, mass = weights @ apart, weights @ bins.inside
        plain = _root(gaps, mass, bias)
        gaps[:, -1] += extra * surest
        mass[:, -1] += extra
        wrong = _root(gaps, mass, bias)
        return Draws(np.minimum(plain, wrong), plain, np.maximum(plain, wrong))

    return figure


def _root(gaps: Floats, mass: Floats, bias: float) -> Floats:
    squared = (gaps**2 / mass).sum(axis=1) / mass.sum(axis=1)
    root: Floats = np.sqrt(np.maximum(squared - bias, 0))
    return root


def _bias(bins: Bins) -> float:
    """The sum of the variances of the bins' mean gaps, each weighted by its share of rows."""
    rows, gaps = bins.inside.sum(axis=0), bins.confidence - bins.right
    squares = (gaps - bins.inside @ bins.means(gaps)) ** 2 @ bins.inside
    return float((squares / np.maximum(rows - 1, 1)).sum() / rows.sum())
