"""The Open Inference Protocol v2: bytes in, tensors out, and back. Pure.

https://github.com/kserve/open-inference-protocol, with the binary tensor data extension: JSON of
`Inference-Header-Content-Length` bytes, then raw little-endian tensors in order.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import msgspec
import numpy as np

from lamplighter_agent.ports.session import DATATYPES, Array
from lamplighter_protocol.bundle import TensorSpec
from lamplighter_protocol.errors import LamplighterError

MAX_BODY_BYTES: Final = 16 * 1024 * 1024
#: Lowest and highest value by type, as exact integers, which Python compares without rounding.
_RANGES: Final = {
    name: (int(limits.min), int(limits.max))
    for name, dtype in DATATYPES.items()
    if dtype.kind != "b"
    for limits in [np.finfo(dtype) if dtype.kind == "f" else np.iinfo(dtype)]
}
_NUMBER_KINDS: Final = {"f": "iuf", "i": "iu", "u": "iu", "b": "b"}


@dataclass(frozen=True)
class InferRequest:
    """A checked request.

    Attributes:
        id: The client's own, to be repeated; None if it gave none.
        inputs: Arrays by tensor name.
        outputs: Wanted outputs in order, each with whether it goes out in binary.
    """

    id: str | None
    inputs: dict[str, Array]
    outputs: tuple[tuple[str, bool], ...]


class _Tensor(msgspec.Struct):
    name: str
    shape: list[int]
    datatype: str
    parameters: dict[str, Any] = {}
    data: Any = None


class _Output(msgspec.Struct):
    name: str
    parameters: dict[str, Any] = {}


class _Request(msgspec.Struct):
    inputs: list[_Tensor]
    outputs: list[_Output] = []
    id: str | None = None
    parameters: dict[str, Any] = {}


def read_request(
    body: bytes,
    header_length: int | None,
    inputs: Sequence[TensorSpec],
    outputs: Sequence[TensorSpec],
) -> InferRequest:
    """Read and check an inference request.

    Args:
        body: The HTTP body.
        header_length: `Inference-Header-Content-Length`, or None for plain JSON.
        inputs: The model's inputs; each must be given.
        outputs: The model's outputs.

    Raises:
        LamplighterError: REQUEST_INVALID.
    """
    size = len(body) if header_length is None else header_length
    if not 0 <= size <= len(body):
        raise _invalid(f"the header length {size} does not fit a body of {len(body)} bytes")
    try:
        request = msgspec.json.decode(body[:size], type=_Request)
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        raise _invalid(f"the JSON is malformed: {error}") from error
    given = {tensor.name: tensor for tensor in request.inputs}
    if len(given) != len(request.inputs) or given.keys() != {spec.name for spec in inputs}:
        raise _invalid(f"the inputs must be {[spec.name for spec in inputs]}, each once")
    arrays, at = {}, size
    specs = {spec.name: spec for spec in inputs}
    for tensor in request.inputs:
        _check_shape(tensor, specs[tensor.name])
        if (binary_bytes := tensor.parameters.get("binary_data_size")) is None:
            arrays[tensor.name] = _from_json(tensor)
        else:
            arrays[tensor.name] = _from_binary(tensor, body, at, binary_bytes)
            at += arrays[tensor.name].nbytes
    if at != len(body):
        raise _invalid(f"{len(body) - at} bytes follow the last tensor")
    if len({len(array) for array in arrays.values()}) > 1:
        raise _invalid("the inputs have batches of different sizes")
    return InferRequest(request.id, arrays, _wanted(request, outputs))


def write_response(
    model: str, release: int, request: InferRequest, outputs: Mapping[str, Array]
) -> tuple[bytes, int | None]:
    """The HTTP body and, if any tensor is in binary, the length of its JSON part."""
    tensors, tail = [], []
    for name, binary in request.outputs:
        array = outputs[name]
        datatype = next(key for key, dtype in DATATYPES.items() if dtype == array.dtype)
        tensor: dict[str, Any] = {"name": name, "shape": array.shape, "datatype": datatype}
        if binary:
            raw = np.ascontiguousarray(array).tobytes()
            tensor["parameters"] = {"binary_data_size": len(raw)}
            tail.append(raw)
        else:
            tensor["data"] = array.ravel().tolist()
        tensors.append(tensor)
    document: dict[str, Any] = {"model_name": model, "model_version": str(release)}
    if request.id is not None:
        document["id"] = request.id
    head = msgspec.json.encode({**document, "outputs": tensors})
    return b"".join([head, *tail]), len(head) if tail else None


def _invalid(what: str) -> LamplighterError:
    return LamplighterError("REQUEST_INVALID", f"In the request {what}.")


def _check_shape(tensor: _Tensor, spec: TensorSpec) -> None:
    if tensor.datatype != spec.datatype:
        raise _invalid(f"{spec.name!r} is {tensor.datatype}, the model takes {spec.datatype}")
    fits = len(tensor.shape) == len(spec.shape) and all(
        size >= 1 and wanted in (-1, size)
        for size, wanted in zip(tensor.shape, spec.shape, strict=True)
    )
    if not fits:
        raise _invalid(
            f"{spec.name!r} has shape {tensor.shape}, the model takes {list(spec.shape)}"
        )


def _from_json(tensor: _Tensor) -> Array:
    dtype = DATATYPES[tensor.datatype]
    try:
        values = np.asarray(tensor.data)
    except ValueError as error:
        raise _invalid(f"the data of {tensor.name!r} is ragged: {error}") from error
    if values.shape not in {tuple(tensor.shape), (math.prod(tensor.shape),)}:
        raise _invalid(
            f"the data of {tensor.name!r} makes shape {list(values.shape)}, not {tensor.shape}"
        )
    if values.dtype.kind not in _NUMBER_KINDS[dtype.kind] or not _holds(tensor.datatype, values):
        raise _invalid(f"{tensor.name!r} has values that are no {tensor.datatype}")
    return values.astype(dtype).reshape(tensor.shape)


def _holds(datatype: str, values: Array) -> bool:
    """Whether all values lie in the range of a type: NumPy would wrap them round in silence."""
    if np.can_cast(values.dtype, DATATYPES[datatype]):
        return True
    low, high = _RANGES[datatype]
    return bool(low <= values.min().item() and values.max().item() <= high)


def _from_binary(tensor: _Tensor, body: bytes, at: int, size_bytes: object) -> Array:
    dtype = DATATYPES[tensor.datatype]
    wanted = math.prod(tensor.shape) * dtype.itemsize
    # A copy of its own is aligned, and does not keep the whole body while it waits to be counted.
    raw = body[at : at + wanted]
    if size_bytes != wanted or len(raw) != wanted:
        raise _invalid(f"{tensor.name!r} needs {wanted} bytes of binary data")
    if dtype.kind == "b" and not set(raw) <= {0, 1}:
        raise _invalid(f"{tensor.name!r} has bytes that are no BOOL")
    return np.frombuffer(raw, dtype).reshape(tensor.shape)


def _wanted(request: _Request, outputs: Sequence[TensorSpec]) -> tuple[tuple[str, bool], ...]:
    names = [spec.name for spec in outputs]
    all_binary = request.parameters.get("binary_data_output") is True
    if not request.outputs:
        return tuple((name, all_binary) for name in names)
    if len({output.name for output in request.outputs}) != len(request.outputs):
        raise _invalid("an output is asked for twice")
    if unknown := [output.name for output in request.outputs if output.name not in names]:
        raise _invalid(f"the model has no outputs {unknown}")
    return tuple(
        (output.name, output.parameters.get("binary_data", all_binary) is True)
        for output in request.outputs
    )
