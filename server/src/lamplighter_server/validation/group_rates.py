"""The rates of each group under a classifier."""

from typing import NamedTuple

import numpy as np

from lamplighter_server.validation.predictions import Array, Codes, Floats, Predictions
from lamplighter_server.validation.regression import errors
from lamplighter_server.validation.resampling import (
    Draws,
    Figure,
    Resampling,
    mean_within,
    unbounded,
)
from lamplighter_server.validation.tallies import count, draw


class Rate(NamedTuple):
    """A share of rows in each group."""

    rows: Floats
    """Over how many rows it is taken, shape (groups,)."""
    value: Floats
    draws: Draws
    """Each of shape (resamples, groups)."""


class GroupRates:
    """All rates over the same resamples.

    Args:
        p: The answers.
        groups: The group of each row, from 0.
        resampling: Each group is a sample of its own, with an imagined row of its own.
    """

    def __init__(self, p: Predictions, groups: Codes, resampling: Resampling) -> None:
        cells = count(groups, p.truth, p.labels)
        self.group, self.truth, self.answer = cells.keys
        self.rows = cells.rows
        self._inside = np.eye(int(groups.max()) + 1)[self.group]
        self._weights = draw(cells, resampling.resamples, resampling.random)
        self._extra = np.column_stack([resampling.extra() for _ in self._inside.T])

    def accuracy(self) -> Rate:
        """The share of right answers."""
        return self._share(self.truth == self.answer, self.truth >= 0)

    def of_class(self, positive: int) -> dict[str, Rate]:
        """Who is given a class: of all rows, of those that are of it, and of those that are not."""
        given, own = self.answer == positive, self.truth == positive
        return {
            "selection_rate": self._share(given, self.truth >= 0),
            "true_positive_rate": self._share(given, own),
            "false_positive_rate": self._share(given, ~own),
        }

    def _share(self, hits: Array, among: Array) -> Rate:
        inside, hit = self._inside * among[:, None], self._inside * (hits & among)[:, None]
        rows = self.rows @ inside
        drawn = mean_within(self._weights @ hit, self._weights @ inside, self._extra, (0, 1))
        return Rate(rows, self.rows @ hit / np.maximum(rows, 1), drawn)


def mean_errors(p: Predictions, groups: Codes, resampling: Resampling) -> dict[str, Rate]:
    """The mean absolute error and the mean error of a regression in each group."""
    error, inside = errors(p), np.eye(int(groups.max()) + 1)[groups]
    losses = {"mae": np.abs(error), "bias": error}

    def mean(loss: Floats) -> Figure:
        return lambda weights, _: unbounded(
            (weights @ (inside * loss[:, None])) / (weights @ inside)
        )

    drawn = resampling.draw(p.rows, {name: mean(loss) for name, loss in losses.items()})
    rows = inside.sum(axis=0)
    return {name: Rate(rows, loss @ inside / rows, drawn[name]) for name, loss in losses.items()}
