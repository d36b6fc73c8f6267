"""Answers of models whose worth is known because we made them."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from lamplighter_server.validation.predictions import Predictions

Make = Callable[..., Predictions]
CLASSES = ("closed", "half-open", "open")


def take(p: Predictions, rows: Any) -> Predictions:
    groups = {name: values[rows] for name, values in p.groups.items()}
    return Predictions(p.truth[rows], p.answers[rows], p.classes, groups)


@pytest.fixture(scope="session")
def classified() -> Make:
    """A classifier that is right more often the larger `skill` is."""

    def make(
        rows: int, *, classes: int = 2, seed: int = 1, skill: float = 2.5, groups: int = 0
    ) -> Predictions:
        random = np.random.default_rng(seed)
        truth = random.choice(classes, rows, p=np.array([6, 3, 1])[:classes] / [9, 10][classes - 2])
        scores = random.normal(size=(rows, classes))
        scores[np.arange(rows), truth] += skill
        exact = np.exp(scores)
        named = {"site": _sites(random, rows, groups)} if groups else {}
        return Predictions(
            truth,
            exact / exact.sum(axis=1, keepdims=True),
            CLASSES[:classes],
            named,
        )

    return make


@pytest.fixture(scope="session")
def regressed() -> Make:
    """A regression with normal errors."""

    def make(rows: int, *, seed: int = 1, error: float = 0.5, groups: int = 0) -> Predictions:
        random = np.random.default_rng(seed)
        truth = random.normal(size=rows)
        named = {"site": _sites(random, rows, groups)} if groups else {}
        return Predictions(truth, truth + error * random.normal(size=rows), (), named)

    return make


def _sites(random: np.random.Generator, rows: int, groups: int) -> Any:
    return random.choice(list("abcdefgh")[:groups], rows).astype(object)
