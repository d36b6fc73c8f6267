"""A LiteRT file in the making: tensors, constants and operators on the published schema."""

import importlib
from types import ModuleType
from typing import Any, Final

import numpy as np

from lamplighter_converters.litert.network import Array
from lamplighter_converters.litert.scales import Scale
from lamplighter_protocol.errors import LamplighterError

_TYPES: Final = {"float32": "FLOAT32", "int8": "INT8", "int32": "INT32", "int64": "INT64"}
IDENTIFIER: Final = b"TFL3"


def schema() -> ModuleType:
    """The classes that are generated from LiteRT's schema.

    Raises:
        LamplighterError: CONVERTER_MISSING.
    """
    try:
        return importlib.import_module("ai_edge_litert.schema_py_generated")
    except ModuleNotFoundError as error:
        raise LamplighterError(
            "CONVERTER_MISSING",
            "LiteRT files need its schema: pip install 'lamplighter-converters[litert]'.",
        ) from error


def pack_model(model: Any) -> bytes:  # noqa: ANN401 - a generated class
    """The bytes of a model of the schema's classes."""
    builder = importlib.import_module("flatbuffers").Builder(1024)
    builder.Finish(model.Pack(builder), IDENTIFIER)
    return bytes(builder.Output())


class LitertFile:
    """Collects one graph; the same calls give the same bytes."""

    def __init__(self) -> None:
        self.schema = schema()
        self._graph = self.schema.SubGraphT()
        self._graph.tensors, self._graph.operators = [], []
        # The first buffer is empty by convention: tensors without data name it.
        self._buffers = [self.schema.BufferT()]
        self._codes: dict[tuple[str, int], int] = {}

    def tensor(
        self,
        name: str,
        shape: tuple[int, ...],
        dtype: str,
        *,
        scale: Scale | None = None,
        data: Array | None = None,
    ) -> int:
        """Add a tensor.

        Args:
            name: Its name; inputs and outputs are found by it.
            shape: -1 marks the batch.
            dtype: One of float32, int8, int32, int64.
            scale: How stored numbers are to be read.
            data: The values of a constant.

        Returns:
            Its number.
        """
        made = self.schema.TensorT()
        made.name, made.type = name, getattr(self.schema.TensorType, _TYPES[dtype])
        made.shape = [max(size, 1) for size in shape]
        made.shapeSignature = list(shape)
        if data is not None:
            buffer = self.schema.BufferT()
            buffer.data = np.frombuffer(np.ascontiguousarray(data).tobytes(), np.uint8)
            made.buffer = len(self._buffers)
            made.shape, made.shapeSignature = list(data.shape), None
            self._buffers.append(buffer)
        if scale is not None:
            made.quantization = self.schema.QuantizationParametersT()
            made.quantization.scale = scale.scale.astype(np.float32).tolist()
            made.quantization.zeroPoint = [scale.zero] * len(scale.scale)
            made.quantization.quantizedDimension = scale.axis
        self._graph.tensors.append(made)
        return len(self._graph.tensors) - 1

    def rename(self, tensor: int, name: str) -> None:
        """Give a tensor another name."""
        self._graph.tensors[tensor].name = name

    def operator(
        self,
        kind: str,
        inputs: tuple[int, ...],
        output: int,
        *,
        version: int,
        options: str | None = None,
        **fields: Any,  # noqa: ANN401 - the options' own
    ) -> None:
        """Add an operator, with the fields of its options if it has any."""
        made = self.schema.OperatorT()
        made.opcodeIndex = self._codes.setdefault((kind, version), len(self._codes))
        made.inputs, made.outputs = list(inputs), [output]
        if options is not None:
            made.builtinOptionsType = getattr(self.schema.BuiltinOptions, options)
            made.builtinOptions = getattr(self.schema, f"{options}T")()
            for name, value in fields.items():
                setattr(made.builtinOptions, name, value)
        self._graph.operators.append(made)

    def finish(self, inputs: tuple[int, ...], outputs: tuple[int, ...]) -> bytes:
        """The file."""
        self._graph.inputs, self._graph.outputs = list(inputs), list(outputs)
        model = self.schema.ModelT()
        model.version, model.subgraphs, model.buffers = 3, [self._graph], self._buffers
        model.operatorCodes = []
        for kind, version in self._codes:
            code = self.schema.OperatorCodeT()
            code.builtinCode = getattr(self.schema.BuiltinOperator, kind)
            code.deprecatedBuiltinCode = code.builtinCode
            code.version = version
            model.operatorCodes.append(code)
        return pack_model(model)
