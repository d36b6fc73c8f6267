"""Tensors as both protocols write them in JSON, and as raw bytes. Pure."""

import math
from collections.abc import Sequence
from itertools import chain
from typing import Any, Final

import numpy as np

from lamplighter_agent.ports.session import DATATYPES, Array
from lamplighter_protocol.bundle import TensorSpec
from lamplighter_protocol.errors import LamplighterError

_BYTES: Final = np.dtype("O")
_LENGTH_BYTES: Final = 4
#: Lowest and highest value by type, as exact integers, which Python compares without rounding.
_RANGES: Final = {
    dtype: (int(limits.min), int(limits.max))
    for dtype in DATATYPES.values()
    if dtype.kind in "fiu"
    for limits in [np.finfo(dtype) if dtype.kind == "f" else np.iinfo(dtype)]
}
_NUMBER_KINDS: Final = {"f": "iuf", "i": "iu", "u": "iu", "b": "b"}


def invalid(what: str) -> LamplighterError:
    """The refusal of a request, REQUEST_INVALID, as one sentence."""
    return LamplighterError("REQUEST_INVALID", f"In the request {what}.")


def check_shape(name: str, shape: Sequence[int], spec: TensorSpec) -> None:
    """Refuse a shape that the model does not take.

    Raises:
        LamplighterError: REQUEST_INVALID.
    """
    fits = len(shape) == len(spec.shape) and all(
        size >= 1 and wanted in (-1, size) for size, wanted in zip(shape, spec.shape, strict=True)
    )
    if not fits:
        raise invalid(f"{name!r} has shape {list(shape)}, the model takes {list(spec.shape)}")


def check_batch(arrays: dict[str, Array]) -> None:
    """Refuse inputs whose first dimensions differ.

    Raises:
        LamplighterError: REQUEST_INVALID.
    """
    if len({len(array) for array in arrays.values()}) > 1:
        raise invalid("the inputs have batches of different sizes")


def from_json(name: str, data: object, datatype: str, shape: Sequence[int] | None) -> Array:
    """Values out of JSON, exactly or not at all.

    Args:
        name: For the refusal.
        data: Nested lists; flat ones too if the shape is given.
        datatype: A key of DATATYPES.
        shape: The shape; None takes that of the lists.

    Raises:
        LamplighterError: REQUEST_INVALID.
    """
    dtype = DATATYPES[datatype]
    try:
        values = _to_array(data, dtype)
    except (ValueError, OverflowError) as error:
        raise invalid(f"the data of {name!r} is ragged: {error}") from error
    if shape is None:
        shape = values.shape
    if values.shape not in {tuple(shape), (math.prod(shape),)}:
        raise invalid(f"the data of {name!r} makes shape {list(values.shape)}, not {list(shape)}")
    if not _holds(dtype, values):
        raise invalid(f"{name!r} has values that are no {datatype}")
    return values.astype(dtype, copy=False).reshape(shape)


def _to_array(data: object, dtype: np.dtype[Any]) -> Array:
    if dtype == _BYTES:
        return np.asarray(data, _BYTES)
    values = np.asarray(data)
    if dtype.kind == "u" and values.dtype.kind == "f":
        # NumPy makes floats of small whole numbers beside some that only UINT64 holds.
        low, high = _RANGES[dtype]
        cells: list[Any] = np.asarray(data, _BYTES).ravel().tolist()
        if all(type(value) is int and low <= value <= high for value in cells):
            return np.asarray(data, dtype)
    return values


def _holds(dtype: np.dtype[Any], values: Array) -> bool:
    """Whether all values lie in the range of a type: NumPy would wrap them round in silence."""
    if dtype == _BYTES:
        return all(isinstance(value, str) for value in values.ravel().tolist())
    if values.dtype.kind not in _NUMBER_KINDS[dtype.kind]:
        return False
    if np.can_cast(values.dtype, dtype):
        return True
    if values.dtype.kind == "f":
        values = values[np.isfinite(values)]  # every type of floats has the others
        if not values.size:
            return True
    low, high = _RANGES[dtype]
    return bool(low <= values.min().item() and values.max().item() <= high)


def from_binary(name: str, raw: bytes, datatype: str, shape: Sequence[int]) -> Array:
    """Values out of raw little-endian bytes; a string has its length in four bytes before it.

    Raises:
        LamplighterError: REQUEST_INVALID.
    """
    dtype = DATATYPES[datatype]
    if dtype == _BYTES:
        return _read_strings(name, raw, math.prod(shape)).reshape(shape)
    if len(raw) != math.prod(shape) * dtype.itemsize:
        wanted = math.prod(shape) * dtype.itemsize
        raise invalid(f"{name!r} needs {wanted} bytes of binary data and has {len(raw)}")
    if dtype.kind == "b" and not set(raw) <= {0, 1}:
        raise invalid(f"{name!r} has bytes that are no BOOL")
    return np.frombuffer(raw, dtype).reshape(shape)


def _read_strings(name: str, raw: bytes, count: int) -> Array:
    strings, at = [], 0
    while at < len(raw):
        start = at + _LENGTH_BYTES
        at = start + int.from_bytes(raw[at:start], "little")
        try:
            strings.append(raw[start:at].decode())
        except UnicodeDecodeError as error:
            raise invalid(f"{name!r} has a string that is no UTF-8") from error
    if at != len(raw) or len(strings) != count:
        raise invalid(f"the binary data of {name!r} is not {count} whole strings")
    values = np.empty(count, _BYTES)
    values[:] = strings
    return values


def to_binary(array: Array) -> bytes:
    """The inverse of `from_binary`."""
    if array.dtype != _BYTES:
        return np.ascontiguousarray(array).tobytes()
    strings = [str(value).encode() for value in array.ravel().tolist()]
    return b"".join(
        chain.from_iterable((len(raw).to_bytes(_LENGTH_BYTES, "little"), raw) for raw in strings)
    )


def is_finite(array: Array) -> bool:
    """Whether JSON can carry the values: it has no NaN and no infinity."""
    return array.dtype.kind != "f" or bool(np.isfinite(array).all())


def datatype_of(array: Array) -> str:
    """The protocol's name of an array's type."""
    return next(name for name, dtype in DATATYPES.items() if dtype == array.dtype)
