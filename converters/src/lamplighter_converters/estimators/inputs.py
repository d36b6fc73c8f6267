"""How rows of a table become the tensors that a graph takes."""

from typing import Any, Final, Literal

import msgspec
import numpy as np
import numpy.typing as npt
from skl2onnx.common.data_types import FloatTensorType, Int64TensorType, StringTensorType

from lamplighter_protocol.errors import LamplighterError

Array = npt.NDArray[Any]
Datatype = Literal["FP32", "INT64", "BYTES"]

#: What a datatype of the Open Inference Protocol is in NumPy and in the converter.
_TYPES: Final[dict[Datatype, tuple[Any, Any]]] = {
    "FP32": (np.float32, FloatTensorType),
    "INT64": (np.int64, Int64TensorType),
    "BYTES": (np.str_, StringTensorType),
}


def _lacks_words(values: Array) -> bool:
    """Whether something is None or NaN, which as text would be a word of its own."""
    return values.dtype.kind in "Of" and any(one is None or one != one for one in values.flat)


class InputTensor(msgspec.Struct, frozen=True):
    """One input of the graph; it takes `width` adjacent columns of a row."""

    name: str
    datatype: Datatype
    width: int = 1


class Inputs(msgspec.Struct, frozen=True):
    """All inputs, in the order of the columns that the estimator was fitted on."""

    tensors: tuple[InputTensor, ...]

    @classmethod
    def matrix(cls, name: str, width: int) -> "Inputs":
        """All columns as one float32 tensor of shape (n, width)."""
        return cls((InputTensor(name, "FP32", width),))

    @classmethod
    def columns(cls, **datatypes: Datatype) -> "Inputs":
        """One tensor of shape (n, 1) for each column, by name."""
        return cls(tuple(InputTensor(name, kind) for name, kind in datatypes.items()))

    @property
    def width(self) -> int:
        """How many columns a row has."""
        return sum(tensor.width for tensor in self.tensors)

    def types(self) -> list[tuple[str, Any]]:
        """What the converter is told."""
        return [
            (tensor.name, _TYPES[tensor.datatype][1]([None, tensor.width]))
            for tensor in self.tensors
        ]

    def feeds(self, rows: Any) -> dict[str, Array]:  # noqa: ANN401 - a matrix or a data frame
        """The tensors that carry some rows.

        Args:
            rows: An array of shape (n, width), or a data frame of that shape.

        Raises:
            LamplighterError: DATA_INVALID if a column does not fit its tensor.
        """
        if rows.ndim != 2 or rows.shape[1] != self.width:
            raise LamplighterError(
                "DATA_INVALID", f"Rows of shape {rows.shape} are not {self.width} columns."
            )
        found: dict[str, Array] = {}
        start = 0
        for tensor in self.tensors:
            part = getattr(rows, "iloc", rows)[:, start : start + tensor.width]
            try:
                values = np.asarray(part)
                if tensor.datatype == "BYTES" and _lacks_words(values):
                    raise TypeError("a word is missing; write '', as devices send it")
                made = values.astype(_TYPES[tensor.datatype][0])
                if tensor.datatype == "INT64" and not (made == values).all():
                    raise ValueError("not all values are whole numbers")
                found[tensor.name] = made
            except (TypeError, ValueError, OverflowError) as error:
                raise LamplighterError(
                    "DATA_INVALID", f"Column {tensor.name} is not {tensor.datatype}: {error}."
                ) from error
            start += tensor.width
        return found
