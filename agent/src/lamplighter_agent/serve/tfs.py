"""The predict API of TensorFlow Serving: bytes in, tensors out, and back. Pure.

https://www.tensorflow.org/tfx/serving/api_rest. A request is in rows (`instances`) or in columns
(`inputs`), and so is its answer (`predictions`, `outputs`). A model with one tensor drops its name.
Unlike plain JSON it has the tokens NaN, Infinity and -Infinity.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import msgspec

from lamplighter_agent.ports.session import Array
from lamplighter_agent.serve.tensors import check_batch, check_shape, from_json, invalid, is_finite
from lamplighter_protocol.bundle import TensorSpec

SIGNATURE: Final = "serving_default"
_DTYPES: Final = {
    "BOOL": "DT_BOOL",
    "UINT8": "DT_UINT8",
    "UINT16": "DT_UINT16",
    "UINT32": "DT_UINT32",
    "UINT64": "DT_UINT64",
    "INT8": "DT_INT8",
    "INT16": "DT_INT16",
    "INT32": "DT_INT32",
    "INT64": "DT_INT64",
    "FP16": "DT_HALF",
    "FP32": "DT_FLOAT",
    "FP64": "DT_DOUBLE",
    "BYTES": "DT_STRING",
}


@dataclass(frozen=True)
class PredictRequest:
    """A checked request: arrays by tensor name, and whether it came in rows."""

    inputs: dict[str, Array]
    in_rows: bool


def read_request(body: bytes, inputs: Sequence[TensorSpec]) -> PredictRequest:
    """Read and check a predict request.

    Args:
        body: The HTTP body.
        inputs: The model's inputs; each must be given.

    Raises:
        LamplighterError: REQUEST_INVALID.
    """
    document = _decode(body)
    if not isinstance(document, dict):
        raise invalid("the JSON is no object")
    if document.get("signature_name", SIGNATURE) not in (SIGNATURE, ""):
        raise invalid(f"the signature is not {SIGNATURE!r}, the only one")
    if ("instances" in document) == ("inputs" in document):
        raise invalid("either 'instances' or 'inputs' must be given, and not both")
    in_rows = "instances" in document
    names = [spec.name for spec in inputs]
    if in_rows:
        columns = _columns_of(document["instances"], names)
    else:
        columns = _named(document["inputs"], names)
    arrays = {}
    for spec in inputs:
        arrays[spec.name] = from_json(spec.name, columns[spec.name], spec.datatype, None)
        check_shape(spec.name, arrays[spec.name].shape, spec)
    check_batch(arrays)
    return PredictRequest(arrays, in_rows)


def _decode(body: bytes) -> object:
    try:
        if b"NaN" in body or b"Infinity" in body:
            return json.loads(body)
        return msgspec.json.decode(body)
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        raise invalid(f"the JSON is malformed: {error}") from error


def _named(value: object, names: list[str]) -> dict[str, Any]:
    """Values by tensor name; a single tensor may come without its name."""
    if not isinstance(value, dict) and len(names) == 1:
        return {names[0]: value}
    if not isinstance(value, dict) or value.keys() != set(names):
        raise invalid(f"the inputs must be {names}, by name")
    return value


def _columns_of(instances: object, names: list[str]) -> dict[str, list[Any]]:
    if not isinstance(instances, list) or not instances:
        raise invalid("'instances' is no list with a row")
    rows = [_named(row, names) for row in instances]
    return {name: [row[name] for row in rows] for name in names}


def write_response(
    request: PredictRequest, specs: Sequence[TensorSpec], outputs: Mapping[str, Array]
) -> bytes:
    """The HTTP body in the form of the request, with the outputs that were signed."""
    values = {spec.name: outputs[spec.name].tolist() for spec in specs}
    answer: Any
    if len(values) == 1:
        (answer,) = values.values()
    elif not request.in_rows:
        answer = values
    else:
        answer = [dict(zip(values, row, strict=True)) for row in zip(*values.values(), strict=True)]
    document = {"predictions" if request.in_rows else "outputs": answer}
    if all(is_finite(outputs[name]) for name in values):
        return msgspec.json.encode(document)
    return json.dumps(document).encode()  # with NaN, as this protocol has it


def signature(inputs: Sequence[TensorSpec], outputs: Sequence[TensorSpec]) -> dict[str, Any]:
    """The signature of a model as its metadata shows it: protobuf's JSON of a SignatureDef."""

    def tensors(specs: Sequence[TensorSpec]) -> dict[str, Any]:
        return {
            spec.name: {
                "dtype": _DTYPES[spec.datatype],
                "name": spec.name,
                "tensor_shape": {
                    "dim": [{"name": "", "size": str(size)} for size in spec.shape],
                    "unknown_rank": False,
                },
            }
            for spec in specs
        }

    return {
        "inputs": tensors(inputs),
        "outputs": tensors(outputs),
        "method_name": "tensorflow/serving/predict",
    }
