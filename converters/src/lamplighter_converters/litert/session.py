"""Running a LiteRT file here, to compare: ai-edge-litert where it is installed."""

import importlib
from collections.abc import Mapping

from lamplighter_converters.session import Array, Outputs
from lamplighter_protocol.errors import LamplighterError


class LitertSession:
    """A loaded LiteRT model; inputs and outputs by name, in one thread.

    Raises:
        LamplighterError: CONVERTER_MISSING without the runtime, or CONVERSION_REFUSED if it refuses
            the file.
    """

    def __init__(self, raw: bytes) -> None:
        try:
            runtime = importlib.import_module("ai_edge_litert.interpreter")
        except ModuleNotFoundError as error:
            raise LamplighterError(
                "CONVERTER_MISSING",
                "LiteRT files run on its runtime: pip install 'lamplighter-converters[litert]'.",
            ) from error
        try:
            self._interpreter = runtime.Interpreter(model_content=raw, num_threads=1)
            self._interpreter.allocate_tensors()
            inputs = self._interpreter.get_input_details()
            self._outputs = [
                (one["name"], one["index"]) for one in self._interpreter.get_output_details()
            ]
        except (RuntimeError, ValueError) as error:
            raise LamplighterError(
                "CONVERSION_REFUSED", f"The runtime refuses the model: {error}."
            ) from error
        self._inputs = {one["name"]: one["index"] for one in inputs}
        self._shapes = {one["name"]: tuple(one["shape"]) for one in inputs}

    def run(self, inputs: Mapping[str, Array]) -> Outputs:
        """The outputs by name.

        Raises:
            LamplighterError: CONVERSION_REFUSED if the runtime refuses the input.
        """
        own = self._interpreter
        try:
            shapes = {name: inputs[name].shape for name in self._inputs}
            if shapes != self._shapes:
                self._shapes = {}  # unknown if the runtime refuses the new ones
                for name, index in self._inputs.items():
                    own.resize_tensor_input(index, shapes[name])
                own.allocate_tensors()
                self._shapes = shapes
            for name, index in self._inputs.items():
                own.set_tensor(index, inputs[name])
            own.invoke()
            return {name: own.get_tensor(index) for name, index in self._outputs}
        except (KeyError, RuntimeError, ValueError) as error:
            raise LamplighterError(
                "CONVERSION_REFUSED", f"The runtime refuses the input: {error}."
            ) from error
