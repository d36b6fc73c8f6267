"""ONNX models from bytes and to bytes."""

import onnx
from onnx import ModelProto

from lamplighter_protocol.errors import LamplighterError


def parse(raw: bytes) -> ModelProto:
    """Read a model that was admitted or made here.

    Raises:
        LamplighterError: CONVERSION_REFUSED.
    """
    try:
        return onnx.load_from_string(raw)
    except Exception as error:  # protobuf's decoder raises what it likes
        raise LamplighterError("CONVERSION_REFUSED", f"Not an ONNX model: {error}.") from error


def canonical_bytes(model: ModelProto) -> bytes:
    """The bytes of a model, the same from every process.

    Converters list operator sets in the order of string hashes.
    """
    model.opset_import.sort(key=lambda opset: opset.domain)
    raw: bytes = model.SerializeToString(deterministic=True)
    return raw
