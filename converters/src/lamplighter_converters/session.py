"""Running an ONNX file here, to compare and to count. One thread: the same bits every time."""

from typing import Any

import numpy as np
import numpy.typing as npt
import onnxruntime

from lamplighter_protocol.errors import LamplighterError

Floats = npt.NDArray[np.float32]
Answers = dict[str, npt.NDArray[Any]]


def run(raw: bytes, inputs: dict[str, Floats]) -> Answers:
    """Run a model once; returns the outputs by name.

    Raises:
        LamplighterError: CONVERSION_REFUSED if the runtime refuses the file or the input.
    """
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 4
    try:
        session = onnxruntime.InferenceSession(raw, options, providers=["CPUExecutionProvider"])
        names = [output.name for output in session.get_outputs()]
        return dict(zip(names, session.run(names, inputs), strict=True))
    except Exception as error:  # the runtime's errors have no other common root
        raise LamplighterError(
            "CONVERSION_REFUSED", f"The runtime refuses the model: {error}."
        ) from error
