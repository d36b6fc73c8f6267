"""y = x W + b with a dynamic batch, for each runtime in float and in int8."""

from typing import Any

import flatbuffers
import numpy as np
import numpy.typing as npt
import onnx
from ai_edge_litert import schema_py_generated as schema
from onnx import TensorProto, helper, numpy_helper

WEIGHTS: npt.NDArray[np.float32] = np.array(
    [[0.5, -1.0, 0.25], [1.0, 0.75, -0.5], [-0.25, 0.5, 1.0], [0.125, 0.25, -1.0]], np.float32
)
BIAS: npt.NDArray[np.float32] = np.array([0.5, -0.25, 0.0], np.float32)
#: Inputs lie in -4 to 4 and outputs in -16 to 16, in steps of the int8 models.
X_SCALE, Y_SCALE, W_SCALE = 4 / 127, 16 / 127, 1 / 127


def expected(x: npt.NDArray[Any]) -> npt.NDArray[np.float32]:
    return (x @ WEIGHTS + BIAS).astype(np.float32)


def onnx_float() -> bytes:
    return _onnx([helper.make_node("Gemm", ["x", "w", "b"], ["y"])], [("w", WEIGHTS), ("b", BIAS)])


def onnx_int8() -> bytes:
    """With pairs of QuantizeLinear and DequantizeLinear, as quantizers write it."""
    nodes = [
        helper.make_node("QuantizeLinear", ["x", "x_scale", "zero"], ["xq"]),
        helper.make_node("DequantizeLinear", ["xq", "x_scale", "zero"], ["xd"]),
        helper.make_node("DequantizeLinear", ["w", "w_scale", "zero"], ["wd"]),
        helper.make_node("Gemm", ["xd", "wd", "b"], ["yd"]),
        helper.make_node("QuantizeLinear", ["yd", "y_scale", "zero"], ["yq"]),
        helper.make_node("DequantizeLinear", ["yq", "y_scale", "zero"], ["y"]),
    ]
    constants: list[tuple[str, npt.NDArray[Any]]] = [
        ("w", np.round(WEIGHTS / W_SCALE).astype(np.int8)),
        ("b", BIAS),
        ("zero", np.array(0, np.int8)),
        ("x_scale", np.array(X_SCALE, np.float32)),
        ("w_scale", np.array(W_SCALE, np.float32)),
        ("y_scale", np.array(Y_SCALE, np.float32)),
    ]
    return _onnx(nodes, constants)


def _onnx(nodes: list[onnx.NodeProto], constants: list[tuple[str, npt.NDArray[Any]]]) -> bytes:
    graph = helper.make_graph(
        nodes,
        "linear",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 4])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", 3])],
        [numpy_helper.from_array(value, name) for name, value in constants],
    )
    opset = [helper.make_opsetid("", 17)]
    raw: bytes = helper.make_model(graph, opset_imports=opset, ir_version=8).SerializeToString()
    return raw


def litert_float() -> bytes:
    tensors = [
        _tensor("x", [1, 4], schema.TensorType.FLOAT32),
        _tensor("w", [3, 4], schema.TensorType.FLOAT32, buffer=1),
        _tensor("b", [3], schema.TensorType.FLOAT32, buffer=2),
        _tensor("y", [1, 3], schema.TensorType.FLOAT32),
    ]
    return _litert(tensors, [WEIGHTS.T, BIAS], [("dense", [0, 1, 2], [3])], outputs=[3])


def litert_int8() -> bytes:
    """Quantizes its input and dequantizes its output, as converters write it."""
    tensors = [
        _tensor("x", [1, 4], schema.TensorType.FLOAT32),
        _tensor("xq", [1, 4], schema.TensorType.INT8, scale=X_SCALE),
        _tensor("w", [3, 4], schema.TensorType.INT8, buffer=1, scale=W_SCALE),
        _tensor("b", [3], schema.TensorType.INT32, buffer=2, scale=X_SCALE * W_SCALE),
        _tensor("yq", [1, 3], schema.TensorType.INT8, scale=Y_SCALE),
        _tensor("y", [1, 3], schema.TensorType.FLOAT32),
    ]
    weights = np.round(WEIGHTS.T / W_SCALE).astype(np.int8)
    bias = np.round(BIAS / (X_SCALE * W_SCALE)).astype(np.int32)
    operators = [
        ("quantize", [0], [1]),
        ("dense", [1, 2, 3], [4]),
        ("dequantize", [4], [5]),
    ]
    return _litert(tensors, [weights, bias], operators, outputs=[5])


def _tensor(
    name: str, shape: list[int], kind: int, *, buffer: int = 0, scale: float | None = None
) -> Any:
    tensor = schema.TensorT()
    tensor.name, tensor.shape, tensor.type, tensor.buffer = name, shape, kind, buffer
    if buffer == 0:
        tensor.shapeSignature = [-1, *shape[1:]]
    if scale is not None:
        tensor.quantization = schema.QuantizationParametersT()
        tensor.quantization.scale, tensor.quantization.zeroPoint = [scale], [0]
    return tensor


_OPERATORS = {
    "dense": (schema.BuiltinOperator.FULLY_CONNECTED, 4),
    "quantize": (schema.BuiltinOperator.QUANTIZE, 1),
    "dequantize": (schema.BuiltinOperator.DEQUANTIZE, 2),
}


def _litert(
    tensors: list[Any],
    constants: list[npt.NDArray[Any]],
    operators: list[tuple[str, list[int], list[int]]],
    *,
    outputs: list[int],
) -> bytes:
    model, graph = schema.ModelT(), schema.SubGraphT()
    model.version, model.subgraphs, model.operatorCodes = 3, [graph], []
    model.buffers = [schema.BufferT()]
    for constant in constants:
        buffer = schema.BufferT()
        buffer.data = np.frombuffer(np.ascontiguousarray(constant).tobytes(), np.uint8)
        model.buffers.append(buffer)
    graph.tensors, graph.inputs, graph.outputs, graph.operators = tensors, [0], outputs, []
    for at, (name, reads, writes) in enumerate(operators):
        code = schema.OperatorCodeT()
        code.builtinCode, code.version = _OPERATORS[name]
        code.deprecatedBuiltinCode = code.builtinCode
        model.operatorCodes.append(code)
        operator = schema.OperatorT()
        operator.opcodeIndex, operator.inputs, operator.outputs = at, reads, writes
        if name == "dense":
            operator.builtinOptionsType = schema.BuiltinOptions.FullyConnectedOptions
            operator.builtinOptions = schema.FullyConnectedOptionsT()
        graph.operators.append(operator)
    builder = flatbuffers.Builder(1024)
    builder.Finish(model.Pack(builder), b"TFL3")
    return bytes(builder.Output())
