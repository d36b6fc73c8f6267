"""ONNX Runtime on the CPU: one thread, so that a model takes no more of the board than it says."""

import os
from pathlib import Path

# onnxruntime >= 1.29 reports home unless it is told not to before it is imported.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")

import onnxruntime

from lamplighter_agent.ports.session import Array, Tensors
from lamplighter_protocol.errors import LamplighterError

VERSION: str = onnxruntime.__version__


class OnnxSession:
    """A model in ONNX Runtime."""

    def __init__(self, model: Path | bytes) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        options.log_severity_level = 4
        self._session = onnxruntime.InferenceSession(
            model if isinstance(model, bytes) else str(model),
            options,
            providers=["CPUExecutionProvider"],
        )
        self._outputs = [output.name for output in self._session.get_outputs()]

    def run(self, inputs: Tensors) -> dict[str, Array]:
        """See ports.session."""
        try:
            values = self._session.run(self._outputs, dict(inputs))
        except Exception as error:  # the runtime's errors have no common root of their own
            raise LamplighterError(
                "INFERENCE_FAILED", f"The runtime refuses the input: {error}."
            ) from error
        return dict(zip(self._outputs, values, strict=True))
