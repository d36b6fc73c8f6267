"""Copies of answered requests on their way to a release in shadow: one frame each."""

import contextlib
import os
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import msgspec
import numpy as np

from lamplighter_agent.ports.session import Array, Tensors
from lamplighter_protocol.errors import LamplighterError

LENGTH: Final = struct.Struct(">I")
MAX_COPY_BYTES: Final = 64 * 1024 * 1024


class _Tensor(msgspec.Struct, array_like=True):
    dtype: str
    shape: tuple[int, ...]
    data: bytes | list[str]


class Copy(msgspec.Struct, array_like=True):
    """What the active release was asked, and what it said.

    Attributes:
        tensors: Its inputs by name.
        labels: Its answers, one for each row.
        missed: Requests that were not copied since the last copy.
    """

    tensors: dict[str, _Tensor]
    labels: list[str]
    missed: int

    @property
    def inputs(self) -> dict[str, Array]:
        """The inputs as arrays.

        Raises:
            LamplighterError: MESSAGE_MALFORMED.
        """
        try:
            return {name: _read(tensor) for name, tensor in self.tensors.items()}
        except (TypeError, ValueError) as error:
            raise LamplighterError("MESSAGE_MALFORMED", f"A copy is malformed: {error}.") from error


def measure(inputs: Tensors) -> int:
    """About how many bytes a copy of these arrays takes, text included."""
    return sum(
        sum(map(len, array.flat)) if array.dtype.hasobject else array.nbytes
        for array in inputs.values()
    )


def encode(inputs: Tensors, labels: list[str], missed: int) -> bytes:
    """A frame: the length of what follows, then MessagePack."""
    copy = Copy({name: _write(array) for name, array in inputs.items()}, labels, missed)
    raw = msgspec.msgpack.encode(copy)
    return LENGTH.pack(len(raw)) + raw


def decode(raw: bytes) -> Copy:
    """Read what follows the length.

    Raises:
        LamplighterError: MESSAGE_MALFORMED.
    """
    try:
        return msgspec.msgpack.decode(raw, type=Copy)
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        raise LamplighterError("MESSAGE_MALFORMED", f"A copy is malformed: {error}.") from error


@contextlib.contextmanager
def short_path(path: Path) -> Iterator[str]:
    """Another name of a socket's path, whose length does not depend on its folder's.

    Sockets allow 108 bytes, which the folder of a data directory may well exceed.
    """
    folder = os.open(path.parent, os.O_PATH | os.O_DIRECTORY)
    try:
        yield f"/proc/self/fd/{folder}/{path.name}"
    finally:
        os.close(folder)


def _write(array: Array) -> _Tensor:
    data = array.ravel().tolist() if array.dtype.hasobject else array.tobytes()
    return _Tensor(array.dtype.str, array.shape, data)


def _read(tensor: _Tensor) -> Array:
    dtype = np.dtype(tensor.dtype)
    if isinstance(tensor.data, list):
        return np.array(tensor.data, dtype=object).reshape(tensor.shape)
    return np.frombuffer(tensor.data, dtype).reshape(tensor.shape)
