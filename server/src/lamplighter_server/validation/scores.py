"""What probabilities are worth: AUROC, log loss, Brier score."""

from collections.abc import Sequence
from typing import Final

import numpy as np

from lamplighter_server.validation.predictions import Array, Codes, Floats, Predictions
from lamplighter_server.validation.rates import mean
from lamplighter_server.validation.resampling import Draws, Figure, mean_within, unbounded

#: The least probability in a log loss, as in scikit-learn: that of float64.
_LEAST: Final = float(np.finfo(np.float64).eps)


class Ranking:
    """The area under the ROC curve of one class against the rest, for any weights of rows.

    It is the probability that a row of the class has a higher score than another row; ties count
    half (Hanley and McNeil 1982).

    Args:
        scores: Shape (n,).
        positive: Whether each row is of the class, shape (n,).
    """

    def __init__(self, scores: Floats, positive: Array) -> None:
        self._order: Codes = np.argsort(scores, kind="stable")
        self._positive = np.flatnonzero(positive[self._order])
        ascending = scores[self._order]
        _, first, group = np.unique(ascending, return_index=True, return_inverse=True)
        last = np.append(first[1:], len(scores))
        self._below = first[group[self._positive]]
        self._up_to = last[group[self._positive]]

    def area(self, weights: Floats, extra: Floats) -> Draws:
        """The area, shape (some,).

        The imagined row is of the smaller side, ranked where it hurts, or helps, most.

        Args:
            weights: Of the rows, shape (some, n).
            extra: Of the imagined row, shape (some,).
        """
        ordered = weights[:, self._order]
        own = ordered[:, self._positive]
        ordered[:, self._positive] = 0
        others = np.concatenate([np.zeros((len(ordered), 1)), np.cumsum(ordered, axis=1)], axis=1)
        won = (own * (others[:, self._below] + others[:, self._up_to])).sum(axis=1) / 2
        positives, negatives = own.sum(axis=1), others[:, -1]
        smaller = np.minimum(positives, negatives)
        area = np.minimum(won / (positives * negatives), 1)  # sums are rounded
        return mean_within(area * smaller, smaller, extra, (0, 1))


def mean_area(areas: Sequence[Draws], rows: Array) -> Draws:
    """The mean of AUROCs over classes, each against the rest.

    Args:
        areas: Of each class, each of shape (some,).
        rows: How many rows the smaller side of each has.
    """
    return mean(Draws(*(np.column_stack(part) for part in zip(*areas, strict=True))), rows)


def auroc(p: Predictions) -> Figure:
    """The AUROC of the second class of two, or the mean over more; every class must have rows."""
    if len(p.classes) == 2:
        return Ranking(p.answers[:, 1], p.truth == 1).area
    of = [Ranking(p.answers[:, i], p.truth == i).area for i in range(len(p.classes))]
    rows = np.bincount(p.truth)
    smaller = np.minimum(rows, p.rows - rows)
    return lambda weights, extra: mean_area([area(weights, extra) for area in of], smaller)


def log_loss(p: Predictions) -> Figure:
    """Minus the logarithm of the probability that the true class was given; without a bound."""
    given = np.take_along_axis(p.answers, p.truth[:, None], axis=1)[:, 0]
    losses = -np.log(np.clip(given.astype(np.float64), _LEAST, 1))
    return lambda weights, _: unbounded(weights @ losses / weights.sum(axis=1))


def brier(p: Predictions) -> Figure:
    """The squared distance from the truth, 0 to 1.

    Brier (1950) sums over all classes, which gives 0 to 2; half of that is the usual score of two
    classes, and what scikit-learn calls `scale_by_half`.
    """
    squares = ((p.answers - np.eye(len(p.classes))[p.truth]) ** 2).sum(axis=1) / 2
    return lambda weights, extra: mean_within(weights @ squares, weights.sum(axis=1), extra, (0, 1))
