"""Right and wrong answers by class, counted, and over resamples.

Rows with the same truth and the same answer are interchangeable, so a resample draws one gamma
variate for each such cell instead of one weight for each row: the same distribution, at once.
"""

from typing import NamedTuple

import numpy as np

from lamplighter_server.validation.predictions import Codes, Floats


class Cells(NamedTuple):
    """Rows that are interchangeable, each array of shape (cells,)."""

    keys: tuple[Codes, ...]
    """What the rows of a cell have in common."""
    rows: Floats


class Tally(NamedTuple):
    """Weights by class, shape (..., classes)."""

    hit: Floats
    """Rows of the class that were given it."""
    actual: Floats
    """Rows of the class."""
    predicted: Floats
    """Rows that were given the class."""

    @property
    def total(self) -> Floats:
        """All rows, shape (...)."""
        weight: Floats = self.actual.sum(axis=-1)
        return weight


def count(*keys: Codes) -> Cells:
    """Join the rows that agree in all keys.

    Args:
        keys: Codes from 0, each of shape (n,).
    """
    cells, rows = np.unique(np.column_stack(keys), axis=0, return_counts=True)
    return Cells(tuple(cells.T), rows.astype(np.float64))


def draw(cells: Cells, resamples: int, random: np.random.Generator) -> Floats:
    """The weight of each cell, shape (resamples, cells): sums of the rows' exponential weights."""
    return random.standard_gamma(cells.rows, (resamples, len(cells.rows)))


def tally(weights: Floats, truth: Codes, answer: Codes, classes: int) -> Tally:
    """Add up cells by class.

    Args:
        weights: Shape (..., cells).
        truth: The true class of each cell.
        answer: The class that was given.
        classes: How many there are.
    """
    of_truth, of_answer = np.eye(classes)[truth], np.eye(classes)[answer]
    return Tally(weights @ (of_truth * of_answer), weights @ of_truth, weights @ of_answer)
