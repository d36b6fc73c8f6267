"""Errors of a regression."""

from typing import Final

import numpy as np

from lamplighter_server.validation.predictions import Codes, Floats, Predictions
from lamplighter_server.validation.resampling import (
    Draws,
    Figure,
    Resampling,
    divide,
    unbounded,
)
from lamplighter_server.validation.results import Estimate

#: Quantiles of the absolute error by the name of the figure.
QUANTILES: Final = {"error_p50": 0.5, "error_p90": 0.9, "error_p99": 0.99}


def errors(p: Predictions) -> Floats:
    """Answer minus truth."""
    found: Floats = np.asarray(p.answers, dtype=np.float64) - np.asarray(p.truth, dtype=np.float64)
    return found


def measure(p: Predictions, resampling: Resampling) -> dict[str, Estimate]:
    """MAE, RMSE, R2 and quantiles of the absolute error."""
    figures = figures_of(p)
    values, drawn = resampling.values(p.rows, figures), resampling.draw(p.rows, figures)
    found = {name: resampling.estimate(values[name], drawn[name]) for name in figures}
    if np.ptp(p.truth) == 0:
        found["r2"] = Estimate(why="all held-out rows have the same truth")
    return found


def figures_of(p: Predictions) -> dict[str, Figure]:
    """The figures by name."""
    error = errors(p)
    absolute, squares = np.abs(error), error**2
    order = np.argsort(absolute)
    ascending = np.append(absolute[order], np.inf)

    def quantile(share: float) -> Figure:
        """The imagined row is infinitely wrong, or right.

        Where that row alone decides, the rows are too few for the quantile, and its interval has
        no end: the exact rule of order statistics, by which the upper end of the 99th percentile
        takes 368 rows at a level of 95 %.
        """

        def figure(weights: Floats, extra: Floats) -> Draws:
            reached = np.cumsum(weights[:, order], axis=1)
            total = weights.sum(axis=1)
            return Draws(
                ascending[_first(reached + extra[:, None], share * (total + extra))],
                ascending[_first(reached, share * total)],
                ascending[_first(reached, share * (total + extra))],
            )

        return figure

    return {
        "mae": lambda weights, _: unbounded(weights @ absolute / weights.sum(axis=1)),
        "rmse": lambda weights, _: unbounded(np.sqrt(weights @ squares / weights.sum(axis=1))),
        "r2": lambda weights, _: unbounded(1 - divide(weights @ squares, _spread(p, weights))),
        **{name: quantile(share) for name, share in QUANTILES.items()},
    }


def _spread(p: Predictions, weights: Floats) -> Floats:
    truth = np.asarray(p.truth, dtype=np.float64)
    centred = truth - truth.mean()
    total = weights.sum(axis=1)
    spread: Floats = weights @ centred**2 - (weights @ centred) ** 2 / total
    return spread


def _first(reached: Floats, wanted: Floats) -> Codes:
    """The first position at which the cumulated weight is reached; past the end if nowhere."""
    slack = 1e-9 * wanted  # sums of the same weights in another order
    enough = reached >= (wanted - slack)[:, None]
    first: Codes = np.where(enough.any(axis=1), enough.argmax(axis=1), reached.shape[1])
    return first
