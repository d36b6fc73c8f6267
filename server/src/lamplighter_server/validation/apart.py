"""How far groups are apart: the largest minus, or over, the smallest rate. Pure."""

import numpy as np

from lamplighter_server.validation.group_rates import Rate
from lamplighter_server.validation.resampling import Draws, divide


def difference(rate: Rate) -> Draws:
    """The largest rate minus the smallest, 0 or more.

    Each group is a sample of its own, so each has its imagined row: the upper end holds however
    few rows a group has. It is taken over all groups; the lower end over the two that are
    outermost in the rows as they are, with their sign, so that equal groups have 0 inside.
    """
    top, bottom = int(rate.value.argmax()), int(rate.value.argmin())
    low, plain, high = rate.draws
    return Draws(
        np.maximum(low[:, top] - high[:, bottom], 0),
        plain.max(axis=1) - plain.min(axis=1),
        high.max(axis=1) - low.min(axis=1),
    )


def ratio(rate: Rate) -> Draws:
    """The smallest rate over the largest, 0 to 1; taken like the difference."""
    top, bottom = int(rate.value.argmax()), int(rate.value.argmin())
    low, plain, high = rate.draws
    return Draws(
        divide(low.min(axis=1), high.max(axis=1)),
        divide(plain.min(axis=1), plain.max(axis=1)),
        np.minimum(divide(high[:, bottom], low[:, top], empty=1.0), 1),
    )


def larger(first: Draws, second: Draws) -> Draws:
    """The larger of two differences."""
    return Draws(*map(np.maximum, first, second))


def smaller(first: Draws, second: Draws) -> Draws:
    """The smaller of two ratios."""
    return Draws(*map(np.minimum, first, second))
