"""Accuracy, precision, recall and F1 from tallies; per class, and averaged over classes."""

import numpy as np

from lamplighter_server.validation.predictions import Array, Floats
from lamplighter_server.validation.resampling import Draws, divide, mean_within
from lamplighter_server.validation.tallies import Tally


def accuracy(drawn: Tally, extra: Floats) -> Draws:
    """The share of rows that were given their class."""
    return mean_within(drawn.hit.sum(axis=-1), drawn.total, extra, (0, 1))


def by_class(drawn: Tally, extra: Floats) -> dict[str, Draws]:
    """Precision, recall and F1 of every class, each array of shape (..., classes).

    F1 is 2 TP / (2 TP + FP + FN); the imagined row is a hit, or one miss.

    Args:
        drawn: Over the resamples.
        extra: The weight of the imagined row, of a shape that fits.
    """
    hit, both = drawn.hit, drawn.actual + drawn.predicted
    return {
        "precision": mean_within(hit, drawn.predicted, extra, (0, 1)),
        "recall": mean_within(hit, drawn.actual, extra, (0, 1)),
        "f1": Draws(
            divide(2 * hit, both + extra),
            divide(2 * hit, both),
            divide(2 * (hit + extra), both + 2 * extra),
        ),
    }


def mean(per_class: Draws, rows: Array) -> Draws:
    """The mean over classes. The imagined row falls into the smallest, where it weighs most.

    Args:
        per_class: Each of shape (resamples, classes).
        rows: How many rows each class has.
    """
    smallest = int(np.argmin(rows))

    def with_smallest(own: Floats) -> Floats:
        values = per_class.plain.copy()
        values[:, smallest] = own
        averaged: Floats = values.mean(axis=1)
        return averaged

    return Draws(*(with_smallest(own) for own in per_class.at(smallest)))
