"""LiteRT: ai-edge-litert where it is installed, else tflite-runtime."""

from importlib import metadata
from pathlib import Path

import numpy as np

from lamplighter_agent.ports.session import Array, Tensors
from lamplighter_protocol.errors import LamplighterError

try:
    from ai_edge_litert.interpreter import Interpreter

    VERSION = metadata.version("ai-edge-litert")
except ModuleNotFoundError:
    from tflite_runtime.interpreter import Interpreter

    VERSION = metadata.version("tflite-runtime")


class LitertSession:
    """A model in LiteRT. Input and output tensors are found by name."""

    def __init__(self, model: Path | bytes) -> None:
        content = model if isinstance(model, bytes) else model.read_bytes()
        self._interpreter = Interpreter(model_content=content, num_threads=1)
        self._interpreter.allocate_tensors()

    def run(self, inputs: Tensors) -> dict[str, Array]:
        """See ports.session."""
        try:
            for detail in self._interpreter.get_input_details():
                values = inputs[detail["name"]]
                if tuple(detail["shape"]) != values.shape:
                    self._interpreter.resize_tensor_input(detail["index"], values.shape)
            self._interpreter.allocate_tensors()
            for detail in self._interpreter.get_input_details():
                self._interpreter.set_tensor(detail["index"], inputs[detail["name"]])
            self._interpreter.invoke()
            return {
                detail["name"]: np.array(self._interpreter.get_tensor(detail["index"]))
                for detail in self._interpreter.get_output_details()
            }
        except (KeyError, RuntimeError, ValueError) as error:
            raise LamplighterError(
                "INFERENCE_FAILED", f"The runtime refuses the input: {error}."
            ) from error
