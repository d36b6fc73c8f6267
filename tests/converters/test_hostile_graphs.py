"""Well-formed files with impossible graphs, and calibration that cannot calibrate."""

from contextlib import suppress

import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper
from tests.converters.conftest import Arrays

from lamplighter_converters.quantize.int8 import to_int8
from lamplighter_converters.session import run
from lamplighter_protocol.errors import LamplighterError

WEIGHTS = numpy_helper.from_array(np.ones((64, 4), np.float32), "w")
PRODUCT = helper.make_node("MatMul", ["image", "w"], ["y"])


def graph(*nodes: onnx.NodeProto, weights: onnx.TensorProto | None = WEIGHTS) -> bytes:
    made = helper.make_graph(
        list(nodes),
        "g",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, [None, 64])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [None, 4])],
        [weights] if weights is not None else [],
    )
    model = helper.make_model(made, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    raw: bytes = model.SerializeToString()
    return raw


def elsewhere() -> onnx.TensorProto:
    tensor = onnx.TensorProto()
    tensor.CopyFrom(WEIGHTS)
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    place = tensor.external_data.add()
    place.key, place.value = "location", "../../../etc/passwd"
    return tensor


HOSTILE = {
    "weights missing": graph(PRODUCT, weights=None),
    "shapes differ": graph(
        PRODUCT, weights=numpy_helper.from_array(np.ones((3, 4), np.float32), "w")
    ),
    "unknown operator": graph(
        helper.make_node("MatMul", ["image", "w"], ["z"]), helper.make_node("Nope", ["z"], ["y"])
    ),
    "cycle": graph(
        helper.make_node("MatMul", ["y", "w"], ["z"]), helper.make_node("MatMul", ["z", "w"], ["y"])
    ),
    "weights not finite": graph(
        PRODUCT, weights=numpy_helper.from_array(np.full((64, 4), np.nan, np.float32), "w")
    ),
    "weights in another file": graph(PRODUCT, weights=elsewhere()),
}


@pytest.mark.parametrize("what", HOSTILE)
def test_an_impossible_graph_is_refused_with_a_code(what: str, digits: Arrays) -> None:
    with pytest.raises(LamplighterError) as refused:
        to_int8(HOSTILE[what], {"image": digits[0][:50]})
    assert refused.value.code == "CONVERSION_REFUSED"


@pytest.mark.parametrize("what", HOSTILE.keys() - {"weights not finite"})
def test_the_runtime_is_not_brought_down_by_it(what: str, digits: Arrays) -> None:
    with pytest.raises(LamplighterError, match="CONVERSION_REFUSED"):
        run(HOSTILE[what], {"image": digits[0][:1]})


@settings(max_examples=25)
@given(cut=st.floats(0, 0.999), flip=st.integers(1, 255))
def test_a_damaged_model_is_refused_or_still_a_model(
    network_onnx: bytes, digits: Arrays, cut: float, flip: int
) -> None:
    at = int(cut * len(network_onnx))
    damaged = network_onnx[:at] + bytes([network_onnx[at] ^ flip]) + network_onnx[at + 1 :]
    for raw in (damaged, network_onnx[:at]):
        with suppress(LamplighterError):  # anything else is what this test looks for
            to_int8(raw, {"image": digits[0][:50]})


@pytest.mark.parametrize(
    "calibration",
    [
        {},
        {"image": np.zeros((0, 64), np.float32)},
        {"image": np.full((9, 64), np.nan, np.float32)},
        {"image": np.zeros((9, 5), np.float32)},
        {"other": np.zeros((9, 64), np.float32)},
    ],
    ids=["none", "no rows", "not finite", "too narrow", "another tensor"],
)
def test_calibration_that_does_not_fit_is_refused(
    network_onnx: bytes, calibration: dict[str, np.ndarray]
) -> None:
    with pytest.raises(LamplighterError) as refused:
        to_int8(network_onnx, calibration)
    assert refused.value.code == "CONVERSION_REFUSED"
