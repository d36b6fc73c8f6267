"""The Open Inference Protocol v2: bytes in, tensors out, and back. Pure.

https://github.com/kserve/open-inference-protocol, with the binary tensor data extension: JSON of
`Inference-Header-Content-Length` bytes, then raw little-endian tensors in order.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from lamplighter_agent.ports.session import Array
from lamplighter_agent.serve.tensors import (
    check_batch,
    check_shape,
    datatype_of,
    from_binary,
    from_json,
    invalid,
    is_finite,
    to_binary,
)
from lamplighter_protocol.bundle import TensorSpec


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


class _OfInput(msgspec.Struct, frozen=True):
    """Parameters of an input; those of extensions that are not offered are passed over."""

    binary_data_size: int | None = None


class _Input(msgspec.Struct, frozen=True):
    name: str
    shape: list[int]
    datatype: str
    parameters: _OfInput = _OfInput()
    data: Any = None


class _OfOutput(msgspec.Struct, frozen=True):
    binary_data: bool | None = None
    classification: Any = None
    shared_memory_region: Any = None


class _Output(msgspec.Struct, frozen=True):
    name: str
    parameters: _OfOutput = _OfOutput()


class _OfRequest(msgspec.Struct, frozen=True):
    binary_data_output: bool = False


class _Request(msgspec.Struct, frozen=True):
    inputs: list[_Input]
    outputs: list[_Output] = []
    id: str | None = None
    parameters: _OfRequest = _OfRequest()


_REQUESTS = msgspec.json.Decoder(_Request)


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
        raise invalid(f"the header length {size} does not fit a body of {len(body)} bytes")
    try:
        request = _REQUESTS.decode(body[:size])
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        raise invalid(f"the JSON is malformed: {error}") from error
    specs = {spec.name: spec for spec in inputs}
    if len(request.inputs) != len(specs) or {item.name for item in request.inputs} != specs.keys():
        raise invalid(f"the inputs must be {list(specs)}, each once")
    arrays, at = {}, size
    for tensor in request.inputs:
        spec = specs[tensor.name]
        if tensor.datatype != spec.datatype:
            raise invalid(f"{spec.name!r} is {tensor.datatype}, the model takes {spec.datatype}")
        check_shape(tensor.name, tensor.shape, spec)
        if (size_bytes := tensor.parameters.binary_data_size) is None:
            arrays[spec.name] = from_json(spec.name, tensor.data, spec.datatype, tensor.shape)
            continue
        if not 0 <= size_bytes <= len(body) - at:
            raise invalid(f"{spec.name!r} announces {size_bytes} bytes of binary data")
        # A copy of its own is aligned, and does not keep the whole body while it waits.
        raw = body[at : at + size_bytes]
        arrays[spec.name] = from_binary(spec.name, raw, spec.datatype, tensor.shape)
        at += size_bytes
    if at != len(body):
        raise invalid(f"{len(body) - at} bytes follow the last tensor")
    check_batch(arrays)
    return InferRequest(request.id, arrays, _wanted(request, outputs))


def _wanted(request: _Request, outputs: Sequence[TensorSpec]) -> tuple[tuple[str, bool], ...]:
    names = [spec.name for spec in outputs]
    binary = request.parameters.binary_data_output
    if not request.outputs:
        return tuple((name, binary) for name in names)
    if len({output.name for output in request.outputs}) != len(request.outputs):
        raise invalid("an output is asked for twice")
    wanted = []
    for output in request.outputs:
        asked = output.parameters
        if output.name not in names:
            raise invalid(f"the output {output.name!r} is asked for; the model has {names}")
        # To pass these over would answer something else than was asked for.
        if asked.classification is not None or asked.shared_memory_region is not None:
            raise invalid(f"{output.name!r} asks for an extension that is not offered")
        wanted.append((output.name, binary if asked.binary_data is None else asked.binary_data))
    return tuple(wanted)


def write_response(
    model: str, release: int, request: InferRequest, outputs: Mapping[str, Array]
) -> tuple[bytes, int | None]:
    """The HTTP body and, if any tensor is in binary, the length of its JSON part.

    Raises:
        LamplighterError: REQUEST_INVALID if JSON is asked for and cannot carry the values.
    """
    tensors, tail = [], []
    for name, binary in request.outputs:
        array = outputs[name]
        tensor: dict[str, Any] = {
            "name": name,
            "shape": array.shape,
            "datatype": datatype_of(array),
        }
        if binary:
            raw = to_binary(array)
            tensor["parameters"] = {"binary_data_size": len(raw)}
            tail.append(raw)
        elif is_finite(array):
            tensor["data"] = array.ravel().tolist()
        else:
            raise invalid(f"{name!r} is asked for in JSON, which has no NaN: ask for binary data")
        tensors.append(tensor)
    document: dict[str, Any] = {"model_name": model, "model_version": str(release)}
    if request.id is not None:
        document["id"] = request.id
    head = msgspec.json.encode({**document, "outputs": tensors})
    return b"".join([head, *tail]), len(head) if tail else None
