"""What an ONNX file says of itself. Nothing is executed, and no other file is opened."""

import math
from collections.abc import Iterator
from typing import Final

import numpy as np
from onnx import (
    AttributeProto,
    GraphProto,
    ModelProto,
    NodeProto,
    TensorProto,
    ValueInfoProto,
    helper,
)

from lamplighter_converters.admit.signature import Datatype, Signature, checked
from lamplighter_converters.onnx_bytes import parse
from lamplighter_protocol.bundle import TensorSpec
from lamplighter_protocol.errors import LamplighterError

#: What onnxruntime 1.23, the oldest on the agent's list, understands.
MAX_OPSET: Final = {"": 22, "ai.onnx.ml": 5}
MAX_IR_VERSION: Final = 10
MAX_NODES: Final = 100_000
MAX_DEPTH: Final = 8

_TYPES: Final[dict[int, Datatype]] = {
    TensorProto.FLOAT: "FP32",
    TensorProto.DOUBLE: "FP64",
    TensorProto.FLOAT16: "FP16",
    TensorProto.INT64: "INT64",
    TensorProto.INT32: "INT32",
    TensorProto.INT16: "INT16",
    TensorProto.INT8: "INT8",
    TensorProto.UINT64: "UINT64",
    TensorProto.UINT32: "UINT32",
    TensorProto.UINT16: "UINT16",
    TensorProto.UINT8: "UINT8",
    TensorProto.BOOL: "BOOL",
    TensorProto.STRING: "BYTES",
}


def describe_onnx(raw: bytes) -> Signature:
    """Read and judge an ONNX file.

    Raises:
        LamplighterError: MODEL_FILE_MALFORMED if it is none, MODEL_FILE_UNSAFE if it reaches for
            other files or states absurd sizes, MODEL_FILE_UNSUPPORTED if devices cannot run it.
    """
    try:
        model = parse(raw)
    except LamplighterError as error:
        raise LamplighterError("MODEL_FILE_MALFORMED", error.sentence) from error
    graph = model.graph
    if not graph.node or not model.opset_import:
        raise LamplighterError("MODEL_FILE_MALFORMED", "This is no ONNX file with a graph.")
    _check_versions(model)
    operators: set[str] = set()
    nodes = 0
    for inner, depth in _graphs(graph):
        nodes += len(inner.node)
        if nodes > MAX_NODES or depth > MAX_DEPTH:
            raise LamplighterError(
                "MODEL_FILE_UNSAFE", f"It has over {MAX_NODES} nodes or {MAX_DEPTH} nested graphs."
            )
        for tensor in _tensors(inner):
            _check_tensor(tensor)
        for node in inner.node:
            operators.add(_operator(node))
    constants = {tensor.name for tensor in graph.initializer}
    return checked(
        Signature(
            runtime="onnxruntime",
            inputs=tuple(_spec(one) for one in graph.input if one.name not in constants),
            outputs=tuple(_spec(one) for one in graph.output),
            operators=tuple(sorted(operators)),
        )
    )


def _check_versions(model: ModelProto) -> None:
    if model.functions or model.training_info:
        raise LamplighterError(
            "MODEL_FILE_UNSUPPORTED", "It brings functions of its own or is made for training."
        )
    if model.ir_version > MAX_IR_VERSION:
        raise LamplighterError(
            "MODEL_FILE_UNSUPPORTED",
            f"Its format is version {model.ir_version}; devices read up to {MAX_IR_VERSION}.",
        )
    for opset in model.opset_import:
        domain = "" if opset.domain == "ai.onnx" else opset.domain
        newest = MAX_OPSET.get(domain)
        if newest is not None and not 0 < opset.version <= newest:
            raise LamplighterError(
                "MODEL_FILE_UNSUPPORTED",
                f"It needs operator set {opset.version} of {domain or 'ai.onnx'!r}; "
                f"devices have up to {newest}.",
            )


def _graphs(graph: GraphProto) -> Iterator[tuple[GraphProto, int]]:
    """The graph and those inside it, without recursion: the file decides how deep they lie."""
    waiting = [(graph, 0)]
    while waiting:
        inner, depth = waiting.pop()
        yield inner, depth
        for node in inner.node:
            for attribute in node.attribute:
                if attribute.type == AttributeProto.GRAPH or attribute.HasField("g"):
                    waiting.append((attribute.g, depth + 1))
                waiting.extend((one, depth + 1) for one in attribute.graphs)


def _tensors(graph: GraphProto) -> Iterator[TensorProto]:
    yield from graph.initializer
    sparse = list(graph.sparse_initializer)
    for node in graph.node:
        for attribute in node.attribute:
            yield attribute.t
            yield from attribute.tensors
            sparse += [attribute.sparse_tensor, *attribute.sparse_tensors]
    for tensor in sparse:
        yield from (tensor.values, tensor.indices)


def _check_tensor(tensor: TensorProto) -> None:
    """A tensor holds its own values, as many as its shape says."""
    if tensor.external_data or tensor.data_location == TensorProto.EXTERNAL:
        raise LamplighterError(
            "MODEL_FILE_UNSAFE", f"The tensor {tensor.name!r} lies in another file."
        )
    if tensor.data_type == TensorProto.UNDEFINED:
        return  # an attribute that is no tensor
    if tensor.data_type not in _TYPES:
        raise LamplighterError(
            "MODEL_FILE_UNSUPPORTED",
            f"The tensor {tensor.name!r} has the type {tensor.data_type}.",
        )
    if min(tensor.dims, default=0) < 0 or _held(tensor) != math.prod(tensor.dims):
        raise LamplighterError(
            "MODEL_FILE_UNSAFE",
            f"The tensor {tensor.name!r} says {list(tensor.dims)[:16]} and holds {_held(tensor)}.",
        )


def _held(tensor: TensorProto) -> int:
    """How many values are stored; those of a half type lie in one int32 each."""
    if tensor.HasField("raw_data"):
        size = np.dtype(helper.tensor_dtype_to_np_dtype(tensor.data_type)).itemsize
        return -1 if len(tensor.raw_data) % size else len(tensor.raw_data) // size
    return len(getattr(tensor, helper.tensor_dtype_to_field(tensor.data_type)))


def _operator(node: NodeProto) -> str:
    domain = "" if node.domain == "ai.onnx" else node.domain
    if domain not in MAX_OPSET:
        raise LamplighterError(
            "MODEL_FILE_UNSUPPORTED", f"The operator {node.op_type} of {domain!r} is a custom one."
        )
    return f"{domain}:{node.op_type}" if domain else str(node.op_type)


def _spec(value: ValueInfoProto) -> TensorSpec:
    kind = value.type.tensor_type
    if not value.type.HasField("tensor_type") or kind.elem_type not in _TYPES:
        raise LamplighterError(
            "MODEL_FILE_UNSUPPORTED",
            f"{value.name!r} is no tensor; scikit-learn's classifiers export with zipmap=False.",
        )
    if not kind.HasField("shape"):
        raise LamplighterError("MODEL_FILE_MALFORMED", f"{value.name!r} has no shape.")
    shape = tuple(dim.dim_value if dim.HasField("dim_value") else -1 for dim in kind.shape.dim)
    return TensorSpec(name=value.name, datatype=_TYPES[kind.elem_type], shape=shape)
