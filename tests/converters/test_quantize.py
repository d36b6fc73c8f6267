import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.ensemble import RandomForestClassifier
from sklearn.pipeline import Pipeline
from tests.converters.conftest import Arrays
from tests.converters.families import fitted, missing

from lamplighter_converters.estimators.convert import to_onnx
from lamplighter_converters.estimators.inputs import Inputs
from lamplighter_converters.parity.answers import ask_estimator, read_answers
from lamplighter_converters.parity.compare import Tolerance, compare, require
from lamplighter_converters.quantize.int8 import to_int8
from lamplighter_converters.session import run
from lamplighter_protocol.errors import LamplighterError


def test_int8_keeps_the_labels_and_answers_each_row_alike_in_any_batch(
    network: Pipeline, network_onnx: bytes, digits: Arrays
) -> None:
    images, _ = digits
    before = bytes(network_onnx)
    quantized = to_int8(network_onnx, {"image": images})
    assert network_onnx == before
    answers = run(quantized, {"image": images})
    found = compare("int8", read_answers("classification", answers), ask_estimator(network, images))
    require(found, Tolerance(min_agreement=0.97, max_error=1.0))
    alone = [run(quantized, {"image": images[row : row + 1]})["label"][0] for row in range(50)]
    assert alone == answers["label"][:50].tolist()


def test_int8_is_the_same_bytes_every_time(network_onnx: bytes, digits: Arrays) -> None:
    calibration = {"image": digits[0][:200]}
    assert to_int8(network_onnx, calibration) == to_int8(network_onnx, calibration)


def test_trees_stay_float_and_the_reason_is_given(digits: Arrays) -> None:
    forest = RandomForestClassifier(n_estimators=3, random_state=1).fit(*digits)
    raw = to_onnx(forest, Inputs.matrix("image", 64))
    with pytest.raises(LamplighterError, match="Trees stay float") as refused:
        to_int8(raw, {"image": digits[0]})
    assert refused.value.code == "CONVERSION_REFUSED"


@settings(max_examples=30)
@given(raw=st.binary(max_size=200))
def test_hostile_bytes_are_refused_with_a_code(raw: bytes, digits: Arrays) -> None:
    with pytest.raises(LamplighterError) as refused:
        to_int8(raw, {"image": digits[0]})
    assert refused.value.code == "CONVERSION_REFUSED"


def test_a_file_that_the_runtime_refuses_has_a_code(digits: Arrays) -> None:
    with pytest.raises(LamplighterError, match="CONVERSION_REFUSED"):
        run(b"garbage", {"image": digits[0]})


def test_rows_with_missing_values_are_no_calibration_and_do_not_hinder_it() -> None:
    table, name = missing(), "Imputer > Scaler > LogisticRegression"
    raw, rows = to_onnx(fitted(name), table.inputs), table.inputs.feeds(table.train)
    complete = {"rows": rows["rows"][np.isfinite(rows["rows"]).all(axis=1)]}
    assert 0 < len(complete["rows"]) < len(rows["rows"])
    assert to_int8(raw, rows) == to_int8(raw, complete)
    answers = read_answers("classification", run(to_int8(raw, rows), rows))
    found = compare("int8", answers, ask_estimator(fitted(name), table.train))
    assert found.agreement > 0.9
