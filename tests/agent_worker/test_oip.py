import json
from contextlib import suppress
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from lamplighter_agent.ports.session import DATATYPES
from lamplighter_agent.serve.oip import read_request, write_response
from lamplighter_protocol.bundle import TensorSpec
from lamplighter_protocol.errors import LamplighterError

INPUTS = (TensorSpec(name="x", datatype="FP32", shape=(-1, 3)),)
OUTPUTS = (
    TensorSpec(name="label", datatype="INT64", shape=(-1,)),
    TensorSpec(name="p", datatype="FP32", shape=(-1, 2)),
)
GOOD: dict[str, Any] = {
    "inputs": [{"name": "x", "shape": [1, 3], "datatype": "FP32", "data": [1, 2.5, 3]}]
}
batches = arrays(
    np.float32,
    st.tuples(st.integers(1, 5), st.just(3)),
    elements=st.floats(width=32, allow_nan=False, allow_infinity=False),
)


def read(document: object, header_length: int | None = None, tail: bytes = b"") -> Any:
    body = json.dumps(document).encode()
    return read_request(body + tail, header_length, INPUTS, OUTPUTS)


@given(batches, st.booleans())
def test_json_tensors_arrive_as_sent(batch: npt.NDArray[np.float32], nested: bool) -> None:
    data = batch.tolist() if nested else batch.ravel().tolist()
    tensor = {"name": "x", "shape": list(batch.shape), "datatype": "FP32", "data": data}
    request = read({"inputs": [tensor], "id": "7"})
    np.testing.assert_array_equal(request.inputs["x"], batch)
    assert request.inputs["x"].dtype == np.float32
    assert request.id == "7"


@given(batches)
def test_binary_tensors_arrive_as_sent(batch: npt.NDArray[np.float32]) -> None:
    raw = batch.tobytes()
    tensor = {"name": "x", "shape": list(batch.shape), "datatype": "FP32"}
    document = {"inputs": [{**tensor, "parameters": {"binary_data_size": len(raw)}}]}
    request = read(document, len(json.dumps(document)), raw)
    np.testing.assert_array_equal(request.inputs["x"], batch)


@pytest.mark.parametrize("datatype", DATATYPES)
@pytest.mark.parametrize("binary", [True, False])
def test_answers_go_out_in_both_forms(datatype: Any, binary: bool) -> None:
    spec = TensorSpec(name="y", datatype=datatype, shape=(-1,))
    array = np.array([1, 0, 1]).astype(DATATYPES[datatype])
    document = {**GOOD, "parameters": {"binary_data_output": binary}, "id": "a"}
    request = read_request(json.dumps(document).encode(), None, INPUTS, (spec,))
    body, length = write_response("m", 4, request, {"y": array})
    head = json.loads(body[:length])
    assert (head["model_name"], head["model_version"], head["id"]) == ("m", "4", "a")
    output = head["outputs"][0]
    assert (output["name"], output["datatype"], output["shape"]) == ("y", datatype, [3])
    if binary:
        assert output["parameters"]["binary_data_size"] == array.nbytes
        np.testing.assert_array_equal(np.frombuffer(body[length:], array.dtype), array)
    else:
        assert length is None
        assert output["data"] == array.tolist()


def test_single_outputs_can_be_asked_for_in_either_form() -> None:
    wanted = [{"name": "p", "parameters": {"binary_data": True}}, {"name": "label"}]
    assert read({**GOOD, "outputs": wanted}).outputs == (("p", True), ("label", False))
    assert read(GOOD).outputs == (("label", False), ("p", False))


def changed(**fields: object) -> dict[str, Any]:
    return {"inputs": [{**GOOD["inputs"][0], **fields}]}


@pytest.mark.parametrize(
    "document",
    [
        {},
        {"inputs": []},
        {"inputs": GOOD["inputs"] * 2},
        {**GOOD, "outputs": [{"name": "nothing"}]},
        changed(name="y"),
        changed(datatype="FP64"),
        changed(datatype="BYTES"),
        changed(shape=[3]),
        changed(shape=[1, 4]),
        changed(shape=[0, 3]),
        changed(shape=[-1, 3]),
        changed(shape=[2, 3]),
        changed(shape=[10**12, 3]),
        changed(data=None),
        changed(data=["1", "2", "3"]),
        changed(data=[True, False, True]),
        changed(data=[[1], [2, 3]]),
        changed(data={"a": 1}),
        changed(data=[1e300, 0, 0]),
        changed(data=float("nan")),
        changed(parameters={"binary_data_size": 12}),
        changed(parameters={"binary_data_size": "12"}),
        changed(parameters={"binary_data_size": -1}),
    ],
)
def test_a_request_that_does_not_fit_is_refused(document: object) -> None:
    with pytest.raises(LamplighterError) as refused:
        read(document)
    assert refused.value.code == "REQUEST_INVALID"


@pytest.mark.parametrize("length", [-1, 1, 10_000])
def test_a_header_length_that_does_not_fit_is_refused(length: int) -> None:
    with pytest.raises(LamplighterError, match="REQUEST_INVALID"):
        read(GOOD, length)


@given(st.binary(max_size=300), st.none() | st.integers(-5, 400))
def test_hostile_bytes_are_refused_with_a_code(body: bytes, length: int | None) -> None:
    with suppress(LamplighterError):  # and no other kind of exception
        read_request(body, length, INPUTS, OUTPUTS)
