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
from lamplighter_agent.serve.tensors import from_binary, from_json, to_binary
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
    array = np.array(["a", "", "\u00e9"] if datatype == "BYTES" else [1, 0, 1], DATATYPES[datatype])
    document = {**GOOD, "parameters": {"binary_data_output": binary}, "id": "a"}
    request = read_request(json.dumps(document).encode(), None, INPUTS, (spec,))
    body, length = write_response("m", 4, request, {"y": array})
    head = json.loads(body[:length])
    assert (head["model_name"], head["model_version"], head["id"]) == ("m", "4", "a")
    output = head["outputs"][0]
    assert (output["name"], output["datatype"], output["shape"]) == ("y", datatype, [3])
    if binary:
        assert output["parameters"]["binary_data_size"] == len(body[length:])
        np.testing.assert_array_equal(from_binary("y", body[length:], datatype, [3]), array)
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
        changed(data=5),
        changed(shape=[1, 3], data=[[1], [2], [3]]),
        changed(data=[10**400, 0, 0]),
        {**GOOD, "outputs": [{"name": "p"}, {"name": "p"}]},
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


@pytest.mark.parametrize(
    ("datatype", "value"),
    [
        ("UINT8", 256),
        ("UINT8", -1),
        ("INT32", 2**31),
        ("INT64", 2**63),
        ("INT64", 2**64),
        ("INT32", 1.0),
        ("BOOL", 1),
    ],
)
def test_a_value_outside_its_type_is_refused_and_not_wrapped(datatype: Any, value: object) -> None:
    specs = (TensorSpec(name="x", datatype=datatype, shape=(-1,)),)
    tensor = {"name": "x", "shape": [1], "datatype": datatype, "data": [value]}
    with pytest.raises(LamplighterError, match="REQUEST_INVALID"):
        read_request(json.dumps({"inputs": [tensor]}).encode(), None, specs, OUTPUTS)


def test_binary_bytes_that_are_no_bool_are_refused() -> None:
    specs = (TensorSpec(name="x", datatype="BOOL", shape=(-1,)),)
    parameters = {"binary_data_size": 2}
    tensor = {"name": "x", "shape": [2], "datatype": "BOOL", "parameters": parameters}
    head = json.dumps({"inputs": [tensor]}).encode()
    assert read_request(head + b"\0\1", len(head), specs, ()).inputs["x"].tolist() == [False, True]
    with pytest.raises(LamplighterError, match="REQUEST_INVALID"):
        read_request(head + b"\0\2", len(head), specs, ())


def test_the_largest_whole_numbers_may_stand_beside_small_ones() -> None:
    """NumPy would make floats of them."""
    largest = 2**64 - 1
    assert from_json("x", [[largest, 0]], "UINT64", [1, 2]).tolist() == [[largest, 0]]
    for wrong in ([largest, -1], [largest, 0.5], [largest + 1, 0]):
        with pytest.raises(LamplighterError, match="no UINT64"):
            from_json("x", wrong, "UINT64", [2])


@st.composite
def tensors(draw: st.DrawFn) -> tuple[str, npt.NDArray[Any]]:
    datatype = draw(st.sampled_from(sorted(DATATYPES)))
    shape = draw(st.tuples(st.integers(1, 4), st.integers(1, 3)))
    dtype = DATATYPES[datatype]
    elements: Any = {"f": {"allow_nan": False, "allow_infinity": False}, "O": st.text(max_size=5)}
    return datatype, draw(arrays(dtype, shape, elements=elements.get(dtype.kind)))


@given(st.lists(tensors(), min_size=1, max_size=3), st.booleans(), st.booleans())
def test_what_is_written_can_be_read_again(
    drawn: list[tuple[Any, npt.NDArray[Any]]], binary_in: bool, binary_out: bool
) -> None:
    rows = min(len(array) for _, array in drawn)
    named = {f"t{at}": (kind, array[:rows]) for at, (kind, array) in enumerate(drawn)}
    specs = tuple(
        TensorSpec(name=name, datatype=kind, shape=(-1, array.shape[1]))
        for name, (kind, array) in named.items()
    )
    sent, tail = [], b""
    for name, (kind, array) in named.items():
        tensor: dict[str, Any] = {"name": name, "shape": list(array.shape), "datatype": kind}
        if binary_in or name == "t1":
            raw = to_binary(array)
            tensor["parameters"] = {"binary_data_size": len(raw)}
            tail += raw
        else:
            tensor["data"] = array.tolist()
        sent.append(tensor)
    document = {"inputs": sent, "parameters": {"binary_data_output": binary_out}}
    head = json.dumps(document).encode()
    request = read_request(head + tail, len(head), specs, specs)
    for name, (_, array) in named.items():
        np.testing.assert_array_equal(request.inputs[name], array)
        assert request.inputs[name].dtype == array.dtype

    body, length = write_response("m", 1, request, request.inputs)
    at = length or 0
    for output in json.loads(body[:length])["outputs"]:
        kind, array = named[output["name"]]
        if binary_out:
            size = output["parameters"]["binary_data_size"]
            found = from_binary("y", body[at : at + size], kind, output["shape"])
            at += size
        else:
            found = np.array(output["data"], array.dtype).reshape(output["shape"])
        np.testing.assert_array_equal(found, array)


@pytest.mark.parametrize("length", [-1, 1, 10_000])
def test_a_header_length_that_does_not_fit_is_refused(length: int) -> None:
    with pytest.raises(LamplighterError, match="REQUEST_INVALID"):
        read(GOOD, length)


@given(st.binary(max_size=300), st.none() | st.integers(-5, 400))
def test_hostile_bytes_are_refused_with_a_code(body: bytes, length: int | None) -> None:
    with suppress(LamplighterError):  # and no other kind of exception
        read_request(body, length, INPUTS, OUTPUTS)


json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**70), 2**70)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=8,
)


@given(
    st.sampled_from(["name", "shape", "datatype", "data", "parameters"]),
    json_values,
    st.sampled_from(["outputs", "id", "parameters", "extra"]),
    json_values,
    st.binary(max_size=20),
)
def test_hostile_documents_are_refused_with_a_code(
    field: str, value: object, top: str, other: object, tail: bytes
) -> None:
    document = {**changed(**{field: value}), top: other}
    head = json.dumps(document).encode()
    with suppress(LamplighterError):  # and no other kind of exception
        request = read_request(head + tail, len(head), INPUTS, OUTPUTS)
        assert request.inputs["x"].shape[1] == 3


@pytest.mark.parametrize("literal", [b"NaN", b"Infinity", b"-Infinity"])
def test_json_has_no_nan(literal: bytes) -> None:
    body = json.dumps(GOOD).encode().replace(b"2.5", literal)
    with pytest.raises(LamplighterError, match="REQUEST_INVALID"):
        read_request(body, None, INPUTS, OUTPUTS)


def test_deep_nesting_is_refused() -> None:
    deep = b"[" * 100_000 + b"]" * 100_000
    body = json.dumps(GOOD).encode().replace(b"[1, 2.5, 3]", deep)
    with pytest.raises(LamplighterError, match="REQUEST_INVALID"):
        read_request(body, None, INPUTS, OUTPUTS)
