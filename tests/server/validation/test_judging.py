import math
from collections.abc import Callable
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from tests.server.validation.conftest import take

from lamplighter_protocol.errors import LamplighterError
from lamplighter_server.validation import paired
from lamplighter_server.validation.gates import judge
from lamplighter_server.validation.measure import measure
from lamplighter_server.validation.predictions import Predictions
from lamplighter_server.validation.resampling import Resampling
from lamplighter_server.validation.results import Estimate, GateResult, Measured
from lamplighter_server.validation.spec import PAIRED, Gates, check_gates, read_gates

Make = Callable[..., Predictions]
CLASSES = ("closed", "half-open")


def known(**metrics: Estimate) -> Measured:
    return Measured(
        task="classification",
        rows=100,
        seed=1,
        resamples=200,
        level=0.95,
        classes=CLASSES,
        metrics=metrics,
    )


def outcomes(spec: dict[str, Any], measured: Measured, **given: Any) -> list[GateResult]:
    told = {"incumbent": None, "size_bytes": None, "latency_ms": None, **given}
    return list(judge(read_gates(spec), measured, **told))


@pytest.mark.parametrize(
    ("limit", "outcome"),
    [
        ({"min": 0.9}, "passed"),
        ({"min": 0.92}, "failed"),
        ({"min": 0.92, "by": "value"}, "passed"),
        ({"min": 0.96, "by": "value"}, "failed"),
        ({"max": 0.97}, "passed"),
        ({"max": 0.96}, "failed"),
        ({"max": 0.96, "by": "value"}, "passed"),
        ({"min": math.nan}, "failed"),
        ({"max": math.nan}, "failed"),
    ],
)
def test_the_unfavourable_end_counts_unless_the_value_is_asked_for(
    limit: dict[str, Any], outcome: str
) -> None:
    measured = known(accuracy=Estimate(value=0.95, low=0.91, high=0.97))
    (found,) = outcomes({"metrics": {"accuracy": limit}}, measured)
    assert found.outcome == outcome
    assert "accuracy is 0.95 (0.91 to 0.97 at 95%)" in found.sentence


def test_a_failed_bound_says_when_more_rows_may_help() -> None:
    measured = known(accuracy=Estimate(value=0.95, low=0.91, high=0.97))
    near, far = (
        outcomes({"metrics": {"accuracy": {"min": least}}}, measured)[0].sentence
        for least in (0.94, 0.99)
    )
    assert "more held-out rows" in near
    assert "more held-out rows" not in far


ENDS = st.none() | st.floats(0, 1)
LIMITS = st.builds(
    lambda which, value, by: {which: value, "by": by},
    st.sampled_from(["min", "max"]),
    st.floats(0, 1),
    st.sampled_from(["bound", "value"]),
)


@given(ENDS, ENDS, ENDS, LIMITS)
def test_what_is_not_known_never_passes(
    value: float | None, low: float | None, high: float | None, limit: dict[str, Any]
) -> None:
    measured = known(accuracy=Estimate(value=value, low=low, high=high))
    (found,) = outcomes({"metrics": {"accuracy": limit}}, measured)
    end = value if limit["by"] == "value" else low if "min" in limit else high
    if value is None or end is None:
        assert found.outcome == "unknown"
    elif "min" in limit:
        assert (found.outcome == "passed") == (end >= limit["min"])
    else:
        assert (found.outcome == "passed") == (end <= limit["max"])


def test_what_was_not_measured_is_unknown() -> None:
    spec = {
        "metrics": {"f1": {"min": 0.1}},
        "fairness": {"site": {"equalized_odds_difference": {"max": 0.5}}},
        "incumbent": {"accuracy": {"max_loss": 0.5}},
        "max_size_bytes": 10,
        "max_latency_ms": 5,
    }
    found = outcomes(spec, known())
    assert [item.outcome for item in found] == ["unknown"] * 5
    assert len({item.gate for item in found}) == 5


def test_size_and_latency() -> None:
    spec = {"max_size_bytes": 10, "max_latency_ms": 5.5}
    found = outcomes(spec, known(), size_bytes=10, latency_ms=5.6)
    assert [item.outcome for item in found] == ["passed", "failed"]


def test_fairness_is_judged_for_the_class_that_matters(classified: Make) -> None:
    p = classified(2000, groups=2)
    measured = measure(p, seed=1, resamples=200)
    limits = {"demographic_parity_difference": {"max": 0.2}}
    (second,) = outcomes({"fairness": {"site": limits}}, measured)
    assert (second.outcome, "'half-open'" in second.gate) == ("passed", True)
    (first,) = outcomes({"fairness": {"site": {**limits, "positive": "closed"}}}, measured)
    assert "'closed'" in first.gate
    three = measure(classified(3000, classes=3, groups=2), seed=1, resamples=200)
    assert len(outcomes({"fairness": {"site": limits}}, three)) == 3


def test_a_small_group_is_unknown_and_never_passed(classified: Make) -> None:
    p = classified(2000, groups=2)
    few = np.flatnonzero(p.groups["site"] == "b")[60:]
    measured = measure(take(p, np.setdiff1d(np.arange(2000), few)), seed=1, resamples=100)
    limits = {"demographic_parity_difference": {"max": 1.0}}
    (passed,) = outcomes({"fairness": {"site": limits}}, measured)
    (asked,) = outcomes({"fairness": {"site": {**limits, "min_group_rows": 61}}}, measured)
    assert (passed.outcome, asked.outcome) == ("passed", "unknown")
    assert "'b' is too small, 60 rows of at least 61" in asked.sentence


def test_the_incumbent_must_have_answered_the_same_rows(classified: Make) -> None:
    p = classified(300)
    measured = measure(p, seed=1, resamples=100)
    spec = {"incumbent": {"accuracy": {"max_loss": 0.9}}}

    def outcome(**given: Any) -> str:
        return outcomes(spec, measured, **given)[0].outcome

    assert outcome(incumbent=(p, p)) == "passed"
    assert outcome(incumbent=(p, take(p, np.arange(299)))) == "unknown"
    assert outcome(incumbent=(p, take(p, np.argsort(p.truth)))) == "unknown"
    assert outcome() == "unknown"
    assert outcome(first_release=True) == "passed"


@pytest.mark.parametrize("figure", PAIRED["classification"])
def test_worse_and_better_are_told_apart(classified: Make, figure: str) -> None:
    good = classified(800, classes=3)
    swap = np.random.default_rng(1).random((800, 1)) < 0.15
    bad = Predictions(good.truth, np.where(swap, good.answers[:, ::-1], good.answers), good.classes)
    resampling = Resampling(np.random.default_rng(1), 200, 0.95)
    worse = paired.loss(figure, bad, good, resampling)
    better = paired.loss(figure, good, bad, resampling)
    assert worse.value is not None
    assert better.value == pytest.approx(-worse.value)
    assert (worse.low or 0) > 0 > (better.high or 0)


@pytest.mark.parametrize("figure", PAIRED["regression"])
def test_errors_are_compared_row_by_row(regressed: Make, figure: str) -> None:
    good = regressed(400)
    bad = Predictions(good.truth, good.truth + 1.2 * (good.answers - good.truth))
    loss = paired.loss(figure, bad, good, Resampling(np.random.default_rng(1), 200, 0.95))
    assert loss.value == pytest.approx(0.2 * (measure(good, seed=1).metrics[figure].value or 0))
    assert (loss.low or 0) > 0


@pytest.mark.parametrize("won", [6, 12, 25])
@pytest.mark.parametrize("lost", [0, 2, 5])
def test_without_a_margin_it_is_mcnemars_exact_test(lost: int, won: int) -> None:
    """The chance that the loss is above 0, over resamples, is the one-sided p-value."""
    truth = np.zeros(200, dtype=np.int64)
    row = np.arange(200)

    def answer(wrong: Any) -> Predictions:
        first = np.where(wrong, 0.1, 0.9)
        return Predictions(truth, np.column_stack([first, 1 - first]), ("no", "yes"))

    ours, theirs = answer(row < lost), answer((row >= lost) & (row < lost + won))
    p = stats.binomtest(lost, lost + won, alternative="less").pvalue
    for level in (1 - 2 * (p + 0.01), 1 - 2 * max(p - 0.01, 1e-3)):
        resampling = Resampling(np.random.default_rng(1), 20_000, level)
        loss = paired.loss("accuracy", ours, theirs, resampling)
        assert loss.high is not None
        assert (loss.high <= 0) == ((1 - level) / 2 >= p)
    two_sided = stats.binomtest(lost, lost + won).pvalue
    assert paired.mcnemar(ours, theirs) == pytest.approx(two_sided)


@pytest.mark.parametrize(
    "section",
    [
        {"metric": {}},
        {"metrics": {"accuracy": {"min": 0.9, "max": 1}}},
        {"metrics": {"accuracy": {}}},
        {"metrics": {"accuracy": {"min": "high"}}},
        {"metrics": {"accuracy": {"min": 0.9, "by": "hope"}}},
        {"fairness": {"site": {}}},
        {"fairness": {"site": {"parity": {"max": 0.1}}}},
        {"fairness": {"site": {"mae_ratio": {"min": 0.5}, "min_group_rows": 3}}},
        {"incumbent": {"accuracy": {"max_loss": -0.1}}},
        {"max_size_bytes": 0},
        ["accuracy"],
        "accuracy",
    ],
)
def test_gates_are_read_strictly(section: object) -> None:
    with pytest.raises(LamplighterError, match="GATES_INVALID"):
        read_gates(section)


@pytest.mark.parametrize(
    "section",
    [
        {"metrics": {"mae": {"max": 1}}},
        {"metrics": {"recall": {"min": 1}}},
        {"metrics": {"recall/open": {"min": 1}}},
        {"fairness": {"age": {"demographic_parity_ratio": {"min": 0.8}}}},
        {"fairness": {"site": {"demographic_parity_ratio": {"min": 0.8}, "positive": "open"}}},
        {"fairness": {"site": {"mae_ratio": {"min": 0.8}}}},
        {"incumbent": {"calibration_error": {"max_loss": 0.1}}},
    ],
)
def test_a_gate_that_could_only_be_unknown_is_refused_before_the_training(
    section: dict[str, Any],
) -> None:
    with pytest.raises(LamplighterError, match="GATES_INVALID"):
        check_gates(read_gates(section), "classification", CLASSES, ["site"])


def test_every_figure_that_is_measured_can_be_a_gate(classified: Make, regressed: Make) -> None:
    for p in (classified(100, classes=3), classified(100), regressed(100)):
        found = measure(p, seed=1, resamples=20).metrics
        spec = Gates(metrics=dict.fromkeys(found, read_limit()))
        check_gates(spec, p.task, p.classes, ())
        results = judge(spec, measure(p, seed=1), incumbent=None, size_bytes=None, latency_ms=None)
        assert len(results) == len(found)


def read_limit() -> Any:
    return read_gates({"metrics": {"x": {"min": -100, "by": "value"}}}).metrics["x"]


def test_results_are_kept_as_they_are(classified: Make) -> None:
    p = classified(100)
    results = outcomes({"metrics": {"f1": {"min": 0.9}}}, measure(p, seed=1, resamples=50))
    raw = msgspec.json.encode(results)
    assert msgspec.json.decode(raw, type=list[GateResult]) == results
