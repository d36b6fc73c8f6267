import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from lamplighter_agent.serve.tfs import read_request, signature, write_response
from lamplighter_protocol.bundle import TensorSpec
from lamplighter_protocol.errors import LamplighterError

X = TensorSpec(name="x", datatype="FP32", shape=(-1, 3))
Y = TensorSpec(name="y", datatype="INT64", shape=(-1,))
batches = arrays(
    np.float32,
    st.tuples(st.integers(1, 5), st.just(3)),
    elements=st.floats(width=32, allow_subnormal=False),
)


def read(document: object, *specs: TensorSpec) -> Any:
    return read_request(json.dumps(document).encode(), specs or (X,))


@given(batches, st.booleans(), st.booleans())
def test_rows_and_columns_arrive_as_sent_with_nan_too(
    batch: Any, in_rows: bool, named: bool
) -> None:
    rows: Any = batch.tolist()
    document: Any
    if in_rows:
        document = {"instances": [{"x": row} if named else row for row in rows]}
    else:
        document = {"inputs": {"x": rows} if named else rows}
    request = read(document)
    np.testing.assert_array_equal(request.inputs["x"], batch)
    assert (request.inputs["x"].dtype, request.in_rows) == (np.float32, in_rows)


def test_answers_come_in_the_form_of_the_request() -> None:
    outputs = {"x": np.ones((2, 3), np.float32), "y": np.array([4, 5]), "more": np.zeros(1)}
    rows, columns = read({"instances": [[1, 2, 3]]}), read({"inputs": [[1, 2, 3]]})
    one = [[1.0, 1.0, 1.0], [1.0, 1.0, 1.0]]
    assert json.loads(write_response(rows, (X,), outputs)) == {"predictions": one}
    assert json.loads(write_response(columns, (X,), outputs)) == {"outputs": one}
    assert json.loads(write_response(rows, (X, Y), outputs)) == {
        "predictions": [{"x": one[0], "y": 4}, {"x": one[1], "y": 5}]
    }
    assert json.loads(write_response(columns, (X, Y), outputs)) == {
        "outputs": {"x": one, "y": [4, 5]}
    }
    outputs["x"][0, 0] = np.nan
    assert b"[[NaN, 1.0" in write_response(rows, (X,), outputs)


def test_several_inputs_come_by_name() -> None:
    for document in (
        {"instances": [{"x": [1, 2, 3], "y": 4}, {"x": [5, 6, 7], "y": 8}]},
        {"inputs": {"x": [[1, 2, 3], [5, 6, 7]], "y": [4, 8]}, "signature_name": "serving_default"},
    ):
        inputs = read(document, X, Y).inputs
        assert (inputs["x"][1].tolist(), inputs["y"].tolist()) == ([5, 6, 7], [4, 8])


@pytest.mark.parametrize(
    "document",
    [
        *([], 5, None, {}),
        {"instances": []},
        {"instances": {"x": [1, 2, 3]}},
        {"instances": [[1, 2, 3]], "inputs": [[1, 2, 3]]},
        {"instances": [[1, 2, 3]], "signature_name": "other"},
        {"instances": [[1, 2]]},
        {"instances": [[1, 2, 3], [1]]},
        {"instances": [["a", "b", "c"]]},
        {"instances": [[1, None, 3]]},
        {"instances": [[1e300, 0, 0]]},
        {"instances": [[10**400, 0, 0]]},
        {"instances": [{"z": [1, 2, 3]}]},
        {"instances": [{"x": [1, 2, 3], "z": 1}]},
        {"inputs": {"x": {"b64": "AAAA"}}},
        {"inputs": [1, 2, 3]},
    ],
)
def test_a_request_that_does_not_fit_is_refused(document: object) -> None:
    with pytest.raises(LamplighterError, match="REQUEST_INVALID"):
        read(document)


@pytest.mark.parametrize("body", [b"", b"{", b"\xff", b'{"inputs":NaN', b"[" * 99_999 + b"NaN"])
def test_what_is_no_json_is_refused(body: bytes) -> None:
    with pytest.raises(LamplighterError, match="REQUEST_INVALID"):
        read_request(body, (X,))


def test_the_signature_shows_each_tensor() -> None:
    shown = signature((X,), (Y,))
    assert shown["inputs"]["x"]["dtype"] == "DT_FLOAT"
    sizes = [item["size"] for item in shown["inputs"]["x"]["tensor_shape"]["dim"]]
    assert (sizes, shown["outputs"]["y"]["dtype"]) == (["-1", "3"], "DT_INT64")
