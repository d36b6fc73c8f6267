"""Linear models as products: the same answers, and something that int8 can shrink."""

import numpy as np
import onnx
import pytest
from tests.converters.families import FAMILIES, fitted

from lamplighter_converters.estimators.convert import to_onnx
from lamplighter_converters.quantize.lower import lower
from lamplighter_converters.session import run

LINEAR = [
    "LogisticRegression",
    "LogisticRegression, two classes",
    "LinearSVC",
    "RidgeClassifier",
    "LinearRegression",
    "Lasso",
    "LinearSVR",
    "OneVsRestClassifier",
    "ColumnTransformer > LogisticRegression",
]


@pytest.mark.parametrize("name", LINEAR)
def test_a_lowered_model_gives_the_same_answers(name: str) -> None:
    table = FAMILIES[name].table()
    raw = to_onnx(fitted(name), table.inputs)
    lowered = lower(raw)
    kinds = {node.op_type for node in onnx.load_from_string(lowered).graph.node}
    assert "Gemm" in kinds
    assert not kinds & {"LinearClassifier", "LinearRegressor"}
    feeds = table.inputs.feeds(table.held_out)
    before, after = run(raw, feeds), run(lowered, feeds)
    for output, values in before.items():
        np.testing.assert_allclose(after[output], values, rtol=1e-5, atol=1e-5)


def test_what_holds_no_linear_model_keeps_its_bytes(network_onnx: bytes) -> None:
    assert lower(network_onnx) == network_onnx
