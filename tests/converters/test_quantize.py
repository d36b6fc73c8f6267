import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.ensemble import RandomForestClassifier
from sklearn.pipeline import Pipeline
from tests.converters.conftest import Arrays

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
    with pytest.raises(LamplighterError, match="no matrix product") as refused:
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
