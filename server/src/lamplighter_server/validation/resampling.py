"""Intervals by the Bayesian bootstrap, with one row more that is as bad, or as good, as can be.

Rows are weighted by exponential lots (Rubin 1981, The Bayesian bootstrap), so no class and no
group is ever lost from a resample, as it is when rows are drawn. Resampling alone cannot see an
error that has not happened yet: 50 right answers out of 50 would give the interval from 1 to 1.
So each end is taken with one imagined row at the end of the range, of the same weight as a real
one (Gaffke 2005; Learned-Miller and Thomas 2019, A new confidence interval for the mean of a
bounded random variable). For a proportion this is the exact interval of Clopper and Pearson.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final, NamedTuple, TypeVar

import numpy as np

from lamplighter_server.validation.predictions import Floats
from lamplighter_server.validation.results import Estimate

#: Weights that are in memory at once.
_CHUNK_CELLS: Final = 2_000_000


class Draws(NamedTuple):
    """A figure over the resamples, each of shape (resamples,) or (resamples, classes)."""

    low: Floats
    """With the row that lowers it most."""
    plain: Floats
    """With the real rows only."""
    high: Floats
    """With the row that raises it most."""

    def at(self, position: int) -> "Draws":
        """One of several classes or groups."""
        return Draws(*(values[..., position] for values in self))


Figure = Callable[[Floats, Floats], Draws]
"""A figure by the weights of the rows, (some, n), and of the imagined row, (some,)."""
Key = TypeVar("Key")


@dataclass(frozen=True)
class Resampling:
    """How intervals are made.

    Attributes:
        random: Where the lots come from.
        resamples: How many there are.
        level: The confidence, 0 to 1; each end errs in half of what is left.
    """

    random: np.random.Generator
    resamples: int
    level: float

    def extra(self) -> Floats:
        """The weight of the imagined row in each resample."""
        return self.random.standard_exponential(self.resamples)

    def draw(self, rows: int, figures: Mapping[Key, Figure]) -> dict[Key, Draws]:
        """All figures over the same resamples of rows."""
        step = max(1, _CHUNK_CELLS // rows)
        parts: dict[Key, list[Draws]] = {key: [] for key in figures}
        for start in range(0, self.resamples if figures else 0, step):
            some = min(step, self.resamples - start)
            weights = self.random.standard_exponential((some, rows))
            extra = self.random.standard_exponential(some)
            for key, figure in figures.items():
                parts[key].append(figure(weights, extra))
        return {key: Draws(*map(np.concatenate, zip(*p, strict=True))) for key, p in parts.items()}

    def values(self, rows: int, figures: Mapping[Key, Figure]) -> dict[Key, float]:
        """All figures on the rows as they are."""
        even, nothing = np.ones((1, rows)), np.zeros(1)
        return {key: float(figure(even, nothing).plain[0]) for key, figure in figures.items()}

    def estimate(self, value: float, draws: Draws) -> Estimate:
        """A figure with its interval.

        Args:
            value: On the rows as they are.
            draws: Over the resamples, each of shape (resamples,).
        """
        tail = (1 - self.level) / 2
        return Estimate(
            value=_finite(float(value)),
            low=_finite(float(np.quantile(draws.low, tail, method="lower"))),
            high=_finite(float(np.quantile(draws.high, 1 - tail, method="higher"))),
        )


def unbounded(plain: Floats) -> Draws:
    """A figure for which no worst row can be named; its interval is the bootstrap's own."""
    return Draws(plain, plain, plain)


def mean_within(total: Floats, weight: Floats, extra: Floats, bounds: tuple[float, float]) -> Draws:
    """The weighted mean of values that lie within bounds.

    Args:
        total: The weighted sum of the values.
        weight: The sum of the weights.
        extra: The weight of the imagined row.
        bounds: The least and the largest value that a row can have.
    """
    low, high = bounds
    least, largest = (divide(total + bound * extra, weight + extra) for bound in (low, high))
    return Draws(least, divide(total, weight), largest)


def divide(total: Floats, weight: Floats, *, empty: float = np.nan) -> Floats:
    """Shares; `empty` where there is no weight."""
    total, weight = np.broadcast_arrays(total, weight)
    shares: Floats = np.divide(total, weight, out=np.full(total.shape, empty), where=weight > 0)
    return shares


def _finite(value: float) -> float | None:
    return value if np.isfinite(value) else None
