"""Every family against its estimator, on rows that it was not fitted on."""

import numpy as np
import pytest
from sklearn.base import BaseEstimator
from sklearn.pipeline import Pipeline
from tests.converters.families import FAMILIES, REFUSED, fit, fitted, mixed

from lamplighter_converters.estimators.convert import to_onnx
from lamplighter_converters.estimators.inputs import Inputs
from lamplighter_converters.session import run
from lamplighter_converters.variants import EXACT, Declared, make_variants
from lamplighter_protocol.errors import LamplighterError

FLOAT_ONLY = Declared(recipes={"onnxruntime": "float"})


def last(estimator: BaseEstimator) -> str:
    return type(estimator[-1] if isinstance(estimator, Pipeline) else estimator).__name__


def test_there_are_at_least_25_families() -> None:
    assert len({last(family.make()) for family in FAMILIES.values()}) >= 25


@pytest.mark.parametrize("name", FAMILIES)
def test_the_graph_answers_as_the_estimator(name: str) -> None:
    table, estimator = FAMILIES[name].table(), fitted(name)
    made = make_variants(
        estimator,
        table.inputs,
        calibration=table.train,
        held_out=table.held_out,
        declared=FLOAT_ONLY,
    )
    (variant,) = made.report.variants
    assert variant.parity.rows == len(table.held_out)
    assert variant.parity.agreement >= EXACT.min_agreement
    assert variant.parity.max_error <= EXACT.max_error
    assert to_onnx(estimator, table.inputs) == made.files["onnx-fp32.onnx"]


@pytest.mark.parametrize("name", REFUSED)
def test_what_has_no_right_graph_is_refused_with_the_reason(name: str) -> None:
    family, sentence = REFUSED[name]
    table = family.table()
    with pytest.raises(LamplighterError, match=sentence) as refused:
        make_variants(
            fit(family),
            table.inputs,
            calibration=table.train,
            held_out=table.held_out,
            declared=FLOAT_ONLY,
        )
    assert refused.value.code in {"CONVERSION_REFUSED", "PARITY_REFUSED"}


def test_what_is_not_fitted_is_refused() -> None:
    with pytest.raises(LamplighterError, match="is not fitted"):
        to_onnx(FAMILIES["Ridge"].make(), FAMILIES["Ridge"].table().inputs)


def test_a_word_that_training_never_saw_is_answered() -> None:
    name = "ColumnTransformer > LogisticRegression"
    table = mixed()
    assert "peat" not in table.train[:, 3]
    assert table.held_out[0, 3] == "peat"
    answers = run(to_onnx(fitted(name), table.inputs), table.inputs.feeds(table.held_out[:1]))
    assert answers["probabilities"].shape == (1, 3)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (lambda rows: rows[:, :3], "Rows of shape"),
        (lambda rows: rows[0], "Rows of shape"),
        (lambda rows: rows[:, ::-1], "Column alcohol is not FP32"),
    ],
    ids=["a column short", "no table", "in another order"],
)
def test_rows_that_do_not_fit_the_inputs_are_refused(change: object, sentence: str) -> None:
    table = mixed()
    assert callable(change)
    with pytest.raises(LamplighterError, match=sentence) as refused:
        table.inputs.feeds(change(table.held_out))
    assert refused.value.code == "DATA_INVALID"


@pytest.mark.filterwarnings("ignore:invalid value encountered in cast")
@pytest.mark.parametrize("value", [0.5, float("nan"), 1e30])
def test_what_is_no_whole_number_is_no_integer_input(value: float) -> None:
    inputs = Inputs.columns(count="INT64")
    assert inputs.feeds(np.array([[3.0]]))["count"].tolist() == [[3]]
    with pytest.raises(LamplighterError, match="Column count is not INT64"):
        inputs.feeds(np.array([[value]]))


@pytest.mark.parametrize("value", [None, float("nan")])
def test_a_word_that_is_missing_is_refused_and_not_made_a_word(value: object) -> None:
    with pytest.raises(LamplighterError, match="a word is missing"):
        Inputs.columns(soil="BYTES").feeds(np.array([[value]], object))
