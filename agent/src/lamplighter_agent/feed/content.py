"""Bytes from outside to arrays, and arrays to what a model takes. Pure."""

import io
from collections.abc import Mapping, Sequence
from typing import Any, Final

import msgspec
import numpy as np

from lamplighter_agent.ports.feed import Content
from lamplighter_agent.ports.session import DATATYPES, Array
from lamplighter_protocol.bundle import TensorSpec

#: As much as the model's server takes.
MAX_CONTENT_BYTES: Final = 16 * 1024 * 1024


class _Tensor(msgspec.Struct):
    name: str
    shape: list[int]
    data: list[Any]


class _Request(msgspec.Struct):
    inputs: list[_Tensor]


def read_json(raw: bytes) -> Content:
    """One row, a list of rows, or the body of an Open Inference request.

    Raises:
        ValueError: It is none of them.
    """
    try:
        document = msgspec.json.decode(raw, type=_Request | list[Any])
    except (msgspec.MsgspecError, RecursionError) as error:
        raise ValueError(f"not rows in JSON: {error}") from error
    if isinstance(document, list):
        return _array(document)
    return {tensor.name: _array(tensor.data).reshape(tensor.shape) for tensor in document.inputs}


def read_npy(raw: bytes) -> Array:
    """An array as NumPy saves it.

    Raises:
        ValueError: It is none, or would have to be unpickled.
    """
    try:
        loaded: Array = np.lib.format.read_array(io.BytesIO(raw), allow_pickle=False)
    except (EOFError, MemoryError, SyntaxError, TypeError, ValueError) as error:
        raise ValueError(f"not an array of NumPy: {error}") from error
    return loaded


def fit(content: Content, specs: Sequence[TensorSpec]) -> dict[str, Array]:
    """Give content the types and the batch dimension of a model's inputs.

    Raises:
        ValueError: It does not fit, or numbers would be changed.
    """
    if not isinstance(content, Mapping):
        if len(specs) != 1:
            raise ValueError(f"the model has the inputs {[spec.name for spec in specs]}")
        content = {specs[0].name: content}
    if content.keys() != {spec.name for spec in specs}:
        raise ValueError(f"the model takes {[spec.name for spec in specs]}, not {[*content]}")
    return {spec.name: _fit(content[spec.name], spec) for spec in specs}


def _fit(array: Array, spec: TensorSpec) -> Array:
    if array.ndim == len(spec.shape) - 1:
        array = array[np.newaxis]
    fits = array.ndim == len(spec.shape) and all(
        wanted in (-1, size) for size, wanted in zip(array.shape, spec.shape, strict=True)
    )
    if not fits or not array.size:
        raise ValueError(f"{spec.name!r} has shape {array.shape}, the model takes {spec.shape}")
    dtype = DATATYPES[spec.datatype]
    if (dtype.kind == "O") != (array.dtype.kind in "OU"):
        raise ValueError(f"{spec.name!r} has values that are no {spec.datatype}")
    with np.errstate(invalid="ignore", over="ignore"):
        cast = array.astype(dtype)
    if dtype.kind in "iub" and not np.array_equal(cast, array):
        raise ValueError(f"{spec.name!r} has values that are no {spec.datatype}")
    return cast


def _array(values: list[Any]) -> Array:
    array = np.asarray(values)
    if array.dtype.kind == "U":  # NumPy makes text of numbers that stand beside text
        array = np.asarray(values, dtype=object)
        if not all(isinstance(value, str) for value in array.flat):
            raise ValueError("neither numbers only nor text only")
    elif array.dtype.kind not in "biuf":
        raise ValueError("neither numbers only nor text only")
    return array
