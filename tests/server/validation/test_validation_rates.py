"""Intervals and tests hold the rates that they promise: in how many samples they err.

Samples are drawn from a large population, whose own figures are the truth.
"""

from collections import Counter
from collections.abc import Callable

import numpy as np
import pytest
from tests.server.validation.conftest import take

from lamplighter_server.validation import apart, paired
from lamplighter_server.validation.group_rates import GroupRates
from lamplighter_server.validation.measure import measure
from lamplighter_server.validation.predictions import Predictions
from lamplighter_server.validation.resampling import Resampling

Make = Callable[..., Predictions]
POPULATION = 100_000
TRIALS = 400
RATE = 0.025


def at_most(rate: float, trials: int) -> float:
    """What a count of events with this rate exceeds in one of 1,000 tests."""
    return float(rate * trials + 3.1 * (rate * (1 - rate) * trials) ** 0.5 + 1)


def misses(population: Predictions, rows: int) -> Counter[str]:
    """How often the truth lies below the lower end, or above the upper one."""
    random = np.random.default_rng(5)
    truth = measure(population, seed=0, resamples=2).metrics
    found: Counter[str] = Counter()
    for trial in range(TRIALS):
        sample = take(population, random.integers(0, POPULATION, rows))
        for name, item in measure(sample, seed=trial, resamples=300).metrics.items():
            value = truth[name].value
            assert value is not None
            found[f"{name} low"] += item.low is not None and item.low > value
            found[f"{name} high"] += item.high is not None and item.high < value
    return found


@pytest.mark.parametrize(("rows", "classes", "skill"), [(60, 2, 4.0), (150, 3, 2.5)])
def test_the_unfavourable_end_errs_in_one_of_forty_samples(
    classified: Make, rows: int, classes: int, skill: float
) -> None:
    found = misses(classified(POPULATION, classes=classes, skill=skill), rows)
    favourable = ("accuracy", "balanced_accuracy", "precision", "f1", "auroc")
    for name in favourable:
        assert found[f"{name} low"] <= at_most(RATE, TRIALS), name
    assert found["brier high"] <= at_most(RATE, TRIALS)


def test_quantiles_of_errors_hold_the_rate_and_means_nearly(regressed: Make) -> None:
    found = misses(regressed(POPULATION), 120)
    for name in ("error_p50", "error_p90"):
        assert found[f"{name} low"] <= at_most(RATE, TRIALS), name
        assert found[f"{name} high"] <= at_most(RATE, TRIALS), name
    for name in ("mae", "rmse"):  # no bound holds for all distributions: Bahadur and Savage 1956
        assert found[f"{name} high"] <= at_most(2 * RATE, TRIALS), name


def couple(rows: int, lost: float, won: float, seed: int) -> tuple[Predictions, Predictions]:
    """A candidate and an incumbent that alone are right in these shares of all rows."""
    random = np.random.default_rng(seed)
    lot, truth = random.random(rows), np.arange(rows) % 2
    both = random.random(rows) < 0.9
    theirs = (lot < lost) | ((lot >= lost + won) & both)
    ours = ((lot >= lost) & (lot < lost + won)) | ((lot >= lost + won) & both)

    def answer(right: np.ndarray) -> Predictions:
        second = np.where(right == (truth == 1), 0.9, 0.1)
        return Predictions(truth, np.column_stack([1 - second, second]), ("no", "yes"))

    return answer(ours), answer(theirs)


@pytest.mark.parametrize(
    ("rows", "lost", "won", "margin"),
    [(200, 0.05, 0.05, 0.0), (200, 0.02, 0.0, 0.02), (400, 0.05, 0.03, 0.02)],
)
def test_a_model_that_is_worse_by_the_margin_passes_in_one_of_forty_samples(
    rows: int, lost: float, won: float, margin: float
) -> None:
    passed = 0
    for trial in range(500):
        resampling = Resampling(np.random.default_rng(trial), 300, 0.95)
        loss = paired.loss("accuracy", *couple(rows, lost, won, 1000 + trial), resampling)
        assert loss.high is not None
        passed += loss.high <= margin
    assert passed <= at_most(RATE, 500)


def test_a_model_that_is_as_good_passes_given_enough_rows() -> None:
    passed = 0
    for trial in range(100):
        resampling = Resampling(np.random.default_rng(trial), 300, 0.95)
        loss = paired.loss("accuracy", *couple(3000, 0.01, 0.01, trial), resampling)
        passed += loss.high is not None and loss.high <= 0.02
    assert passed >= 95


@pytest.mark.parametrize("worse", [0.1, 0.0])
def test_groups_that_are_apart_by_the_limit_pass_in_one_of_forty_samples(worse: float) -> None:
    wrongly = low = 0
    for trial in range(TRIALS):
        random = np.random.default_rng(trial)
        groups = np.repeat([0, 1], [150, 90])
        given = random.random(240) < np.where(groups == 0, 0.5, 0.5 - worse)
        answers = np.column_stack([~given, given]).astype(float)
        p = Predictions(random.integers(0, 2, 240), answers, ("no", "yes"))
        resampling = Resampling(random, 300, 0.95)
        rate = GroupRates(p, groups, resampling).of_class(1)["selection_rate"]
        parity = resampling.estimate(float(np.ptp(rate.value)), apart.difference(rate))
        assert parity.low is not None
        assert parity.high is not None
        wrongly += parity.high < worse
        low += parity.low > worse
    assert wrongly <= at_most(RATE, TRIALS)
    assert low <= at_most(2 * RATE, TRIALS)  # which group is outermost is chosen by the rows
