"""Running an ONNX file here, to compare and to count. One thread: the same bits every time."""

from collections.abc import Mapping
from typing import Any

import numpy.typing as npt
import onnxruntime

from lamplighter_protocol.errors import LamplighterError

Array = npt.NDArray[Any]
Outputs = dict[str, Array]


class OnnxSession:
    """A loaded ONNX model.

    Raises:
        LamplighterError: CONVERSION_REFUSED if the runtime refuses the file.
    """

    def __init__(self, raw: bytes) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        options.log_severity_level = 4
        try:
            self._session = onnxruntime.InferenceSession(
                raw, options, providers=["CPUExecutionProvider"]
            )
        except Exception as error:  # the runtime's errors have no other common root
            raise LamplighterError(
                "CONVERSION_REFUSED", f"The runtime refuses the model: {error}."
            ) from error
        self._outputs = [output.name for output in self._session.get_outputs()]

    def run(self, inputs: Mapping[str, Array]) -> Outputs:
        """The outputs by name.

        Raises:
            LamplighterError: CONVERSION_REFUSED if the runtime refuses the input.
        """
        try:
            values = self._session.run(self._outputs, dict(inputs))
        except Exception as error:  # the runtime's errors have no other common root
            raise LamplighterError(
                "CONVERSION_REFUSED", f"The runtime refuses the input: {error}."
            ) from error
        return dict(zip(self._outputs, values, strict=True))


def run(raw: bytes, inputs: Mapping[str, Array]) -> Outputs:
    """Run a model once; returns the outputs by name.

    Raises:
        LamplighterError: CONVERSION_REFUSED if the runtime refuses the file or the input.
    """
    return OnnxSession(raw).run(inputs)
