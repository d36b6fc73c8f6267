"""The label of the largest probability, for classifiers that answer probabilities only.

Devices count the label that a client gets; a graph that does not give one is given one.
"""

import itertools

import numpy as np
from onnx import TensorProto, helper

from lamplighter_converters.admit.signature import Signature
from lamplighter_converters.estimators.task import LABEL
from lamplighter_converters.litert.file import pack_model, schema
from lamplighter_converters.onnx_bytes import canonical_bytes, parse
from lamplighter_protocol.bundle import TensorSpec


def with_label(raw: bytes, signature: Signature, probabilities: str) -> tuple[bytes, TensorSpec]:
    """A judged file with one more output, the position of the largest of `probabilities`.

    Args:
        raw: The file.
        signature: What it was judged to be.
        probabilities: Its output of shape (n, classes).

    Returns:
        The new file, and the new output: int64 of shape (n,).
    """
    add = _to_onnx if signature.runtime == "onnxruntime" else _to_litert
    made, name = add(raw, probabilities)
    return made, TensorSpec(name=name, datatype="INT64", shape=(-1,))


def _to_onnx(raw: bytes, probabilities: str) -> tuple[bytes, str]:
    model = parse(raw)
    graph = model.graph
    name = _free({one for node in graph.node for one in (*node.input, *node.output)})
    graph.node.append(helper.make_node("ArgMax", [probabilities], [name], axis=1, keepdims=0))
    graph.output.append(helper.make_tensor_value_info(name, TensorProto.INT64, [None]))
    return canonical_bytes(model), name


def _to_litert(raw: bytes, probabilities: str) -> tuple[bytes, str]:
    names = schema()
    model = names.ModelT.InitFromPackedBuf(raw, 0)
    graph = model.subgraphs[0]
    tensors = [bytes(tensor.name or b"").decode() for tensor in graph.tensors]
    source = next(at for at in graph.outputs if tensors[at] == probabilities)

    one = names.BufferT()
    one.data = np.frombuffer(np.array(1, np.int32).tobytes(), np.uint8)
    axis, label = names.TensorT(), names.TensorT()
    axis.name, axis.type, axis.shape = "axis", names.TensorType.INT32, []
    axis.buffer = len(model.buffers)
    label.name, label.type = _free(set(tensors)), names.TensorType.INT64
    label.shape, label.shapeSignature = [1], [-1]

    code = names.OperatorCodeT()
    code.builtinCode = code.deprecatedBuiltinCode = names.BuiltinOperator.ARG_MAX
    code.version = 2  # the first that takes int8
    largest = names.OperatorT()
    largest.opcodeIndex = len(model.operatorCodes)
    largest.inputs, largest.outputs = [source, len(graph.tensors)], [len(graph.tensors) + 1]
    largest.builtinOptionsType = names.BuiltinOptions.ArgMaxOptions
    largest.builtinOptions = names.ArgMaxOptionsT()
    largest.builtinOptions.outputType = names.TensorType.INT64

    model.buffers = [*model.buffers, one]
    model.operatorCodes = [*model.operatorCodes, code]
    graph.tensors = [*graph.tensors, axis, label]
    graph.operators = [*graph.operators, largest]
    graph.outputs = [*graph.outputs, len(graph.tensors) - 1]
    model.signatureDefs = None  # they name the outputs as they were
    return pack_model(model), str(label.name)


def _free(taken: set[str]) -> str:
    names = itertools.chain([LABEL], (f"{LABEL}_{number}" for number in itertools.count(1)))
    return next(name for name in names if name not in taken)
