"""Running a LiteRT file here, to compare: ai-edge-litert where it is installed."""

import importlib
from collections.abc import Mapping

import numpy as np

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
        except (RuntimeError, ValueError) as error:
            raise LamplighterError(
                "CONVERSION_REFUSED", f"The runtime refuses the model: {error}."
            ) from error

    def run(self, inputs: Mapping[str, Array]) -> Outputs:
        """The outputs by name.

        Raises:
            LamplighterError: CONVERSION_REFUSED if the runtime refuses the input.
        """
        own = self._interpreter
        try:
            for detail in own.get_input_details():
                values = inputs[detail["name"]]
                if tuple(detail["shape"]) != values.shape:
                    own.resize_tensor_input(detail["index"], values.shape)
            own.allocate_tensors()
            for detail in own.get_input_details():
                own.set_tensor(detail["index"], inputs[detail["name"]])
            own.invoke()
            details = own.get_output_details()
            return {one["name"]: np.array(own.get_tensor(one["index"])) for one in details}
        except (KeyError, RuntimeError, ValueError) as error:
            raise LamplighterError(
                "CONVERSION_REFUSED", f"The runtime refuses the input: {error}."
            ) from error
