"""ONNX Runtime: one thread on the CPU, so that a model takes no more of the board than it says."""

import os
import warnings
from collections.abc import Sequence
from pathlib import Path

# onnxruntime >= 1.29 reports home unless it is told not to before it is imported.
os.environ["ORT_DISABLE_TELEMETRY"] = "1"

import onnxruntime

from lamplighter_agent.ports.session import Array, Tensors
from lamplighter_agent.runtime.accelerators import CPU, choose
from lamplighter_protocol.errors import LamplighterError

VERSION: str = onnxruntime.__version__


class OnnxSession:
    """A model in ONNX Runtime.

    Args:
        model: A file or its content.
        accelerator: One of runtime.accelerators.ACCELERATORS.
        available: What the runtime offers; None asks it.

    Attributes:
        missing: Why the model runs on the CPU though an accelerator was asked for; else empty.
    """

    def __init__(
        self,
        model: Path | bytes,
        accelerator: str = "cpu",
        available: Sequence[str] | None = None,
    ) -> None:
        choice = choose(accelerator, available or onnxruntime.get_available_providers())
        self.missing = choice.missing
        try:
            self._session = _open(model, choice.providers)
        except Exception as error:  # the runtime's errors have no common root of their own
            if choice.providers == (CPU,):
                raise
            self.missing = str(error)
            self._session = _open(model, (CPU,))
        # A provider whose libraries are missing is left out by the runtime without an error.
        if not self.missing and choice.providers[0] not in self._session.get_providers():
            self.missing = f"{choice.providers[0]} does not start"
        self._outputs = [output.name for output in self._session.get_outputs()]

    def run(self, inputs: Tensors) -> dict[str, Array]:
        """See ports.session."""
        try:
            values = self._session.run(self._outputs, dict(inputs))
        except Exception as error:  # as above
            raise LamplighterError(
                "INFERENCE_FAILED", f"The runtime refuses the input: {error}."
            ) from error
        return dict(zip(self._outputs, values, strict=True))


def _open(model: Path | bytes, providers: Sequence[str]) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.log_severity_level = 4
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # of providers that it leaves out
        return onnxruntime.InferenceSession(
            model if isinstance(model, bytes) else str(model), options, providers=list(providers)
        )
