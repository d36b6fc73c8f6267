"""LiteRT: ai-edge-litert where it is installed, else tflite-runtime."""

import threading
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
    """A model in LiteRT, on the CPU. Input and output tensors are found by name.

    An interpreter holds the tensors of one request, so one thread uses it at a time.

    Args:
        model: A file or its content.
        accelerator: One of runtime.accelerators.ACCELERATORS.

    Attributes:
        missing: Why the model runs on the CPU though an accelerator was asked for; else empty.
    """

    def __init__(self, model: Path | bytes, accelerator: str = "cpu") -> None:
        self.missing = "" if accelerator == "cpu" else "LiteRT runs on the CPU here"
        self._one_at_a_time = threading.Lock()
        content = model if isinstance(model, bytes) else model.read_bytes()
        self._interpreter = Interpreter(model_content=content, num_threads=1)
        self._interpreter.allocate_tensors()
        self._inputs = {
            detail["name"]: tuple(detail["shape_signature"])
            for detail in self._interpreter.get_input_details()
        }

    def run(self, inputs: Tensors) -> dict[str, Array]:
        """See ports.session."""
        # The interpreter itself takes whatever it can make fit.
        found = {name: values.shape for name, values in inputs.items()}
        if found.keys() != self._inputs.keys() or not all(
            _fits(found[name], signature) for name, signature in self._inputs.items()
        ):
            raise LamplighterError(
                "INFERENCE_FAILED", f"The model takes {self._inputs}, not {found}."
            )
        with self._one_at_a_time:
            return self._run(inputs)

    def _run(self, inputs: Tensors) -> dict[str, Array]:
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


def _fits(shape: tuple[int, ...], signature: tuple[int, ...]) -> bool:
    """Whether a batch of any size has the other dimensions of a signature; -1 takes all."""
    return len(shape) == len(signature) and all(
        wanted in (-1, size) for size, wanted in zip(shape[1:], signature[1:], strict=True)
    )
