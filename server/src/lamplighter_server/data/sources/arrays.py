"""NumPy files: one array of rows, or an .npz with rows and labels. Never unpickled."""

import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from lamplighter_protocol.errors import LamplighterError
from lamplighter_server.data.inference import SHAPE
from lamplighter_server.data.schema import TENSOR_TYPES

Array = npt.NDArray[Any]
BATCH_BYTES: Final = 4 * 1024 * 1024
#: Arrays of an .npz are unpacked to disk, no further than this.
MAX_UNPACKED_BYTES: Final = 64 * 1024**3
_PART_BYTES: Final = 1024 * 1024


class ArraySource:
    """Arrays whose first dimension is the row; each becomes a column of its name.

    An .npy file becomes the column `x`. A name of `y` or `labels` becomes `label`.

    Args:
        path: The file.
        unpacked: A folder for the arrays of an .npz, so that they need not lie in memory.
    """

    spelled = False

    def __init__(self, path: Path, unpacked: Path) -> None:
        self._unpacked = unpacked
        self._rows = 0
        try:
            self._arrays = self._map(path)
        except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
            raise LamplighterError(
                "DATA_INVALID", f"{path.name} cannot be read: {error}."
            ) from error
        lengths = {name: len(array) for name, array in self._arrays.items()}
        if not lengths or len(set(lengths.values())) != 1:
            raise LamplighterError("DATA_INVALID", f"Arrays of different length: {lengths}.")
        self._total = next(iter(lengths.values()))
        self.raw = pa.schema([_field(name, array) for name, array in self._arrays.items()])

    @property
    def done_share(self) -> float | None:
        """Of the rows."""
        return self._rows / max(1, self._total)

    def batches(self) -> Iterator[pa.RecordBatch]:
        """One pass over the mapped files."""
        width = sum(array.nbytes for array in self._arrays.values()) // max(1, self._total)
        step = max(1, BATCH_BYTES // max(1, width))
        for start in range(0, self._total, step):
            self._rows = start
            rows = slice(start, start + step)
            cells = [
                _cells(np.array(array[rows]), field)
                for array, field in zip(self._arrays.values(), self.raw, strict=True)
            ]
            yield pa.RecordBatch.from_arrays(cells, schema=self.raw)

    def _map(self, path: Path) -> dict[str, Array]:
        if path.suffix.lower() == ".npy":
            return {"x": _open(path)}
        found = {}
        with zipfile.ZipFile(path) as archive:
            members = [info for info in archive.infolist() if info.filename.endswith(".npy")]
            if sum(info.file_size for info in members) > MAX_UNPACKED_BYTES:
                raise LamplighterError("MESSAGE_TOO_LARGE", f"{path.name} unpacks too far.")
            for number, info in enumerate(members):
                target = self._unpacked / f"{number}.npy"
                with archive.open(info) as packed, target.open("wb") as out:
                    while part := packed.read(_PART_BYTES):
                        out.write(part)
                name = info.filename.removesuffix(".npy")
                found["label" if name in {"y", "labels"} else name] = _open(target)
        return found


def _open(path: Path) -> Array:
    array: Array = np.load(path, mmap_mode="r", allow_pickle=False)
    if array.ndim == 0:
        raise ValueError("an array without rows")
    if array.dtype.kind == "U":
        return array
    name = array.dtype.newbyteorder("=").name
    if name not in {*TENSOR_TYPES, "bool", "float16", "uint16", "uint32"}:
        raise ValueError(f"elements of type {array.dtype}")
    return array


def _field(name: str, array: Array) -> pa.Field:
    if array.ndim == 1:
        kind = array.dtype.kind
        types = {"U": pa.string(), "b": pa.bool_(), "f": pa.float64()}
        return pa.field(name, types.get(kind, pa.int64()))
    element = TENSOR_TYPES.get(array.dtype.newbyteorder("=").name, pa.float32())
    size = int(np.prod(array.shape[1:]))
    if size == 0:
        raise LamplighterError("DATA_INVALID", f"The rows of array {name!r} are empty.")
    shape = ",".join(str(length) for length in array.shape[1:])
    return pa.field(name, pa.list_(element, size), metadata={SHAPE: shape.encode()})


def _cells(rows: Array, field: pa.Field) -> pa.Array:
    if rows.ndim == 1:
        return pa.array(rows.astype(rows.dtype.newbyteorder("=")).tolist(), field.type)
    flat = rows.reshape(-1).astype(field.type.value_type.to_pandas_dtype())
    return pa.FixedSizeListArray.from_arrays(pa.array(flat), type=field.type)
