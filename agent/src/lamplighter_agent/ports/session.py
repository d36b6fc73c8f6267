"""What serving and self-testing ask of a runtime."""

from collections.abc import Mapping
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]
Tensors = Mapping[str, Array]


class Session(Protocol):
    """Something that answers; several threads may use it."""

    def run(self, inputs: Tensors) -> dict[str, Array]:
        """Answer a batch.

        Args:
            inputs: Arrays by tensor name, the first dimension the batch.

        Returns:
            Arrays by output name.

        Raises:
            LamplighterError: INFERENCE_FAILED.
        """


class LoadedModel(Session, Protocol):
    """A session of a runtime."""

    missing: str
    """Why it does not run on the accelerator that was asked for; empty if it does."""


#: NumPy's types by the names of the Open Inference Protocol. BYTES are arrays of str, in UTF-8 on
#: the wire, as the tensors of strings in ONNX are.
DATATYPES: Mapping[str, np.dtype[Any]] = {
    "BOOL": np.dtype("?"),
    "UINT8": np.dtype("<u1"),
    "UINT16": np.dtype("<u2"),
    "UINT32": np.dtype("<u4"),
    "UINT64": np.dtype("<u8"),
    "INT8": np.dtype("<i1"),
    "INT16": np.dtype("<i2"),
    "INT32": np.dtype("<i4"),
    "INT64": np.dtype("<i8"),
    "FP16": np.dtype("<f2"),
    "FP32": np.dtype("<f4"),
    "FP64": np.dtype("<f8"),
    "BYTES": np.dtype("O"),
}
