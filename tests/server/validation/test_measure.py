from collections.abc import Callable

import msgspec
import numpy as np
import pytest
from scipy import stats
from sklearn import metrics
from tests.server.validation.conftest import take

from lamplighter_protocol.canonical import encode
from lamplighter_protocol.errors import LamplighterError
from lamplighter_server.validation.measure import measure
from lamplighter_server.validation.predictions import Predictions
from lamplighter_server.validation.results import Measured

Make = Callable[..., Predictions]


@pytest.mark.parametrize("classes", [2, 3])
def test_figures_are_those_of_scikit_learn(classified: Make, classes: int) -> None:
    p = classified(500, classes=classes, skill=1.0)
    found = {name: item.value for name, item in measure(p, seed=1, resamples=20).metrics.items()}
    truth, given = p.truth, p.labels
    auroc = metrics.roc_auc_score(
        truth, p.answers if classes > 2 else p.answers[:, 1], multi_class="ovr"
    )
    expected = {
        "accuracy": metrics.accuracy_score(truth, given),
        "balanced_accuracy": metrics.balanced_accuracy_score(truth, given),
        "precision": metrics.precision_score(truth, given, average="macro"),
        "f1": metrics.f1_score(truth, given, average="macro"),
        "f1/closed": metrics.f1_score(truth, given, average=None)[0],
        "recall/half-open": metrics.recall_score(truth, given, average=None)[1],
        "log_loss": metrics.log_loss(truth, p.answers),
        "brier": metrics.brier_score_loss(truth, p.answers, scale_by_half=True),
        "auroc": auroc,
    }
    assert {name: found[name] for name in expected} == pytest.approx(expected)


def test_errors_are_those_of_scikit_learn(regressed: Make) -> None:
    p = regressed(500)
    found = {name: item.value for name, item in measure(p, seed=1, resamples=20).metrics.items()}
    assert found == pytest.approx(
        {
            "mae": metrics.mean_absolute_error(p.truth, p.answers),
            "rmse": metrics.root_mean_squared_error(p.truth, p.answers),
            "r2": metrics.r2_score(p.truth, p.answers),
            **{
                f"error_p{share}": np.quantile(
                    np.abs(p.truth - p.answers), share / 100, method="inverted_cdf"
                )
                for share in (50, 90, 99)
            },
        }
    )


def test_tied_scores_count_half() -> None:
    truth = np.array([0, 1, 0, 1, 1, 0] * 10)
    second = np.array([0.2, 0.2, 0.2, 0.8, 0.8, 0.8] * 10)
    p = Predictions(truth, np.column_stack([1 - second, second]), ("no", "yes"))
    found = measure(p, seed=1, resamples=20).metrics["auroc"].value
    assert found == pytest.approx(metrics.roc_auc_score(truth, second))


@pytest.mark.parametrize(("right", "rows"), [(50, 50), (47, 50), (0, 40), (900, 1000)])
def test_the_interval_of_a_share_is_clopper_and_pearsons(right: int, rows: int) -> None:
    truth = np.zeros(rows, dtype=np.int64)
    first = np.where(np.arange(rows) < right, 0.9, 0.1)
    p = Predictions(truth, np.column_stack([first, 1 - first]), ("no", "yes"))
    found = measure(p, seed=1, resamples=20_000).metrics["accuracy"]
    exact = stats.binomtest(right, rows).proportion_ci(0.95)
    assert found.low == pytest.approx(exact.low, abs=0.006)
    assert found.high == pytest.approx(exact.high, abs=0.006)


def test_no_figure_of_a_perfect_sample_is_certain(classified: Make) -> None:
    found = measure(classified(60, skill=40), seed=1).metrics
    for name in ("accuracy", "precision", "balanced_accuracy", "f1", "auroc"):
        assert found[name].value == found[name].high == 1
        assert (found[name].low or 1) < 0.97, name
    assert (found["brier"].high or 0) > 0.02


def test_a_class_without_rows_is_unknown_and_never_zero(classified: Make) -> None:
    whole = classified(600, classes=3)
    found = measure(take(whole, whole.truth != 2), seed=1, resamples=50).metrics
    for name in ("recall/open", "precision/open", "f1/open", "auroc/open"):
        assert found[name].value is None
        assert "open" in found[name].why
    for name in ("balanced_accuracy", "precision", "f1", "auroc"):
        assert (found[name].value, found[name].low, found[name].high) == (None, None, None)
        assert "'open'" in found[name].why
    assert found["accuracy"].value is not None
    assert found["recall/closed"].value is not None


def test_a_class_that_is_never_given_has_no_precision() -> None:
    truth = np.array([0, 1] * 40)
    p = Predictions(truth, np.tile([0.9, 0.1], (80, 1)), ("no", "yes"))
    found = measure(p, seed=1, resamples=50).metrics
    assert found["precision/yes"].why == "no row was given class 'yes'"
    assert found["precision"].value is None
    assert found["recall/yes"].value == 0
    assert found["f1/yes"].value == 0


def test_a_high_quantile_takes_its_rows(regressed: Make) -> None:
    few = measure(regressed(300), seed=1).metrics
    many = measure(regressed(600), seed=1).metrics
    assert few["error_p99"].value is not None
    assert few["error_p99"].high is None
    assert few["error_p90"].high is not None
    assert many["error_p99"].high is not None


def test_r2_of_a_constant_is_unknown() -> None:
    p = Predictions(np.ones(50), np.linspace(0, 2, 50))
    found = measure(p, seed=1, resamples=50).metrics
    assert found["r2"].value is None
    assert found["mae"].value is not None


@pytest.mark.parametrize("seed", [1, 2])
def test_the_same_seed_gives_the_same_bytes(classified: Make, seed: int) -> None:
    p = classified(200, classes=3, groups=2)
    first = measure(p, seed=seed, resamples=100)
    assert encode(first) == encode(measure(p, seed=seed, resamples=100))
    assert msgspec.json.decode(encode(first), type=Measured) == first
    assert encode(first) != encode(measure(p, seed=seed + 1, resamples=100))


def test_a_perfect_calibration_has_no_error_and_a_false_one_has(classified: Make) -> None:
    p = classified(4000, skill=1.0)
    random = np.random.default_rng(3)
    truth = (random.random(4000) < p.answers[:, 1]).astype(np.int64)
    honest = Predictions(truth, p.answers, p.classes)
    boasting = Predictions(truth, np.where(p.answers > 0.5, 0.99, 0.01), p.classes)
    found = measure(honest, seed=1, resamples=200).metrics["calibration_error"]
    assert found.low == 0
    assert (found.high or 1) < 0.06
    assert (measure(boasting, seed=1, resamples=200).metrics["calibration_error"].low or 0) > 0.1


@pytest.mark.parametrize(
    ("truth", "answers", "classes"),
    [
        (np.zeros(0, dtype=int), np.zeros((0, 2)), ("a", "b")),
        (np.zeros(2, dtype=int), np.full((3, 2), 0.5), ("a", "b")),
        (np.zeros(2, dtype=int), np.full((2, 2), 0.4), ("a", "b")),
        (np.zeros(2, dtype=int), np.array([[1.5, -0.5]] * 2), ("a", "b")),
        (np.zeros(2, dtype=int), np.array([[np.nan, 1]] * 2), ("a", "b")),
        (np.array([0, 2]), np.full((2, 2), 0.5), ("a", "b")),
        (np.zeros(2), np.full((2, 2), 0.5), ("a", "b")),
        (np.zeros(2, dtype=int), np.full((2, 2), 0.5), ("a", "a")),
        (np.zeros(2, dtype=int), np.ones((2, 1)), ("a",)),
        (np.array([0.0, np.inf]), np.zeros(2), ()),
    ],
)
def test_what_cannot_be_measured_is_refused(
    truth: np.ndarray, answers: np.ndarray, classes: tuple[str, ...]
) -> None:
    with pytest.raises(LamplighterError, match="DATA_INVALID"):
        Predictions(truth, answers, classes)


def test_groups_must_be_of_the_same_rows(classified: Make) -> None:
    p = classified(50)
    with pytest.raises(LamplighterError, match="another number of rows"):
        Predictions(p.truth, p.answers, p.classes, {"site": np.array(["a"] * 49)})
