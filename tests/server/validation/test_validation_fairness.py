from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from fairlearn import metrics as fairlearn
from sklearn.metrics import accuracy_score, mean_absolute_error
from tests.server.validation.conftest import take

from lamplighter_protocol.errors import LamplighterError
from lamplighter_server.validation.fairness import FIGURES, MIN_GROUP_ROWS
from lamplighter_server.validation.measure import measure
from lamplighter_server.validation.predictions import Predictions
from lamplighter_server.validation.results import Fairness

Make = Callable[..., Predictions]


def site(p: Predictions) -> Fairness:
    return measure(p, seed=1, resamples=100).fairness["site"]


@pytest.mark.parametrize("classes", [2, 3])
def test_figures_are_those_of_fairlearn_on_the_rows(classified: Make, classes: int) -> None:
    p = classified(1500, classes=classes, skill=1.0, groups=3)
    found = site(p)
    assert [item.positive for item in found.disparities] == list(p.classes)
    for position, disparity in enumerate(found.disparities):
        told: dict[str, Any] = {
            "y_true": p.truth == position,
            "y_pred": p.labels == position,
            "sensitive_features": p.groups["site"],
        }
        for name in FIGURES["classification"]:
            figure = disparity.figures[name]
            assert figure.value == pytest.approx(getattr(fairlearn, name)(**told))
            assert figure.value is not None
            assert figure.low is not None
            assert figure.high is not None
            assert figure.low <= figure.value <= figure.high
        rates = {
            "selection_rate": fairlearn.selection_rate,
            "true_positive_rate": fairlearn.true_positive_rate,
            "false_positive_rate": fairlearn.false_positive_rate,
        }
        frame = fairlearn.MetricFrame(metrics=rates, **told)
        for group in found.groups:
            for name in rates:
                value = group.metrics[f"{name}/{p.classes[position]}"].value
                assert value == pytest.approx(frame.by_group[name][group.name])
    right = fairlearn.MetricFrame(
        metrics=accuracy_score,
        y_true=p.truth,
        y_pred=p.labels,
        sensitive_features=p.groups["site"],
    )
    assert {g.name: g.metrics["accuracy"].value for g in found.groups} == pytest.approx(
        right.by_group.to_dict()
    )


def test_errors_of_a_regression_by_group(regressed: Make) -> None:
    p = regressed(600, groups=2)
    found = site(p)
    frame = fairlearn.MetricFrame(
        metrics=mean_absolute_error,
        y_true=p.truth,
        y_pred=p.answers,
        sensitive_features=p.groups["site"],
    )
    figures = found.disparities[0].figures
    assert {name: item.value for name, item in figures.items()} == pytest.approx(
        {"mae_difference": frame.difference(), "mae_ratio": frame.ratio()}
    )
    for group in found.groups:
        assert group.metrics["mae"].value == pytest.approx(frame.by_group[group.name])


def test_equal_groups_may_be_equal_and_perfect_ones_are_not_certain(classified: Make) -> None:
    perfect = site(classified(400, skill=40, groups=2))
    odds = perfect.disparities[1].figures["equalized_odds_difference"]
    assert (odds.value, odds.low) == (0, 0)
    assert (odds.high or 0) > 0.02


def test_a_group_that_is_too_small_is_shown_and_makes_the_rest_unknown(classified: Make) -> None:
    p = classified(900, groups=3)
    few = np.flatnonzero(p.groups["site"] == "c")[MIN_GROUP_ROWS - 1 :]
    found = site(take(p, np.setdiff1d(np.arange(900), few)))
    small = found.groups[2]
    assert (small.name, small.rows, small.metrics) == ("c", MIN_GROUP_ROWS - 1, {})
    assert found.groups[0].metrics
    for disparity in found.disparities:
        for figure in disparity.figures.values():
            assert (figure.value, figure.low, figure.high) == (None, None, None)
            assert "group 'c' is too small" in figure.why


def test_odds_take_enough_rows_of_each_kind(classified: Make) -> None:
    p = classified(900, groups=2)
    rare = np.flatnonzero((p.groups["site"] == "b") & (p.truth == 1))[5:]
    figures = site(take(p, np.setdiff1d(np.arange(900), rare))).disparities[1].figures
    assert "too small: 5 of its rows" in figures["equalized_odds_difference"].why
    assert figures["demographic_parity_difference"].value is not None


def test_one_group_is_nothing_to_compare_and_too_many_are_refused(classified: Make) -> None:
    alone = site(classified(100, groups=1))
    assert alone.disparities[0].figures["demographic_parity_ratio"].why == "there is only one group"
    p = classified(100)
    many = np.arange(100).astype(object)
    with pytest.raises(LamplighterError, match="'site' has 100 values"):
        site(Predictions(p.truth, p.answers, p.classes, {"site": many}))


def test_no_ratio_where_nobody_is_given_the_class() -> None:
    p = Predictions(
        np.arange(200) % 2,
        np.tile([0.9, 0.1], (200, 1)),
        ("no", "yes"),
        {"site": np.repeat(["a", "b"], 100).astype(object)},
    )
    figures = site(p).disparities[1].figures
    assert figures["demographic_parity_difference"].value == 0
    assert figures["demographic_parity_ratio"].value is None
    assert figures["equalized_odds_ratio"].value is None
