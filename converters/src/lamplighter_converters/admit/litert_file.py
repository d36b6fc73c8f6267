"""What a LiteRT file says of itself. Nothing is executed."""

import math
import struct
from typing import Any, Final

from lamplighter_converters.admit.signature import Datatype, Signature, checked
from lamplighter_converters.litert.file import IDENTIFIER, schema
from lamplighter_protocol.bundle import TensorSpec
from lamplighter_protocol.errors import LamplighterError

MAX_OPERATORS: Final = 100_000
_TYPES: Final[dict[str, tuple[Datatype, int]]] = {
    "FLOAT32": ("FP32", 4),
    "FLOAT64": ("FP64", 8),
    "FLOAT16": ("FP16", 2),
    "INT64": ("INT64", 8),
    "INT32": ("INT32", 4),
    "INT16": ("INT16", 2),
    "INT8": ("INT8", 1),
    "UINT64": ("UINT64", 8),
    "UINT32": ("UINT32", 4),
    "UINT16": ("UINT16", 2),
    "UINT8": ("UINT8", 1),
    "BOOL": ("BOOL", 1),
}


def is_litert(raw: bytes) -> bool:
    """Whether a file calls itself LiteRT."""
    return raw[4:8] == IDENTIFIER


def describe_litert(raw: bytes) -> Signature:
    """Read and judge a LiteRT file of one graph.

    Raises:
        LamplighterError: MODEL_FILE_MALFORMED if it is none, MODEL_FILE_UNSAFE if it states absurd
            sizes, MODEL_FILE_UNSUPPORTED if devices cannot run it, CONVERTER_MISSING.
    """
    names = schema()
    try:
        model = names.ModelT.InitFromPackedBuf(raw, 0)
        return checked(_describe(names, model))
    except (
        struct.error,
        IndexError,
        ValueError,
        TypeError,
        AttributeError,
        OverflowError,
        RecursionError,
    ) as error:  # the generated reader follows offsets without checking them
        raise LamplighterError("MODEL_FILE_MALFORMED", f"It is damaged: {error}.") from error


def _describe(names: Any, model: Any) -> Signature:  # noqa: ANN401 - generated classes
    if len(model.subgraphs or ()) != 1:
        raise LamplighterError(
            "MODEL_FILE_UNSUPPORTED", f"It has {len(model.subgraphs or ())} graphs, not one."
        )
    graph = model.subgraphs[0]
    operators = graph.operators or ()
    if not operators or not graph.tensors:
        raise LamplighterError("MODEL_FILE_MALFORMED", "Its graph is empty.")
    if len(operators) > MAX_OPERATORS:
        raise LamplighterError("MODEL_FILE_UNSAFE", f"It has {len(operators)} operators.")
    kinds = _by_value(names.TensorType)
    for tensor in graph.tensors:
        _check_tensor(tensor, kinds, model.buffers)
    known = _by_value(names.BuiltinOperator)
    used = {_operator(model.operatorCodes[one.opcodeIndex], known) for one in operators}
    return Signature(
        runtime="litert",
        inputs=tuple(_spec(graph.tensors[at], kinds) for at in graph.inputs),
        outputs=tuple(_spec(graph.tensors[at], kinds) for at in graph.outputs),
        operators=tuple(sorted(used)),
    )


def _by_value(enumeration: Any) -> dict[int, str]:  # noqa: ANN401 - a generated class
    return {value: name for name, value in vars(enumeration).items() if isinstance(value, int)}


def _operator(code: Any, known: dict[int, str]) -> str:  # noqa: ANN401 - a generated class
    # Operators from before number 128 stand in the older of two fields.
    name = known.get(max(code.builtinCode, code.deprecatedBuiltinCode), "CUSTOM")
    if name in {"CUSTOM", "DELEGATE"} or code.customCode:
        own = bytes(code.customCode or b"?").decode(errors="replace")
        raise LamplighterError("MODEL_FILE_UNSUPPORTED", f"The operator {own!r} is a custom one.")
    return name


def _check_tensor(tensor: Any, kinds: dict[int, str], buffers: Any) -> None:  # noqa: ANN401
    """A constant holds its own values, as many as its shape says."""
    buffer = buffers[tensor.buffer]
    if buffer.offset or buffer.size or getattr(tensor, "externalBuffer", 0):
        raise LamplighterError("MODEL_FILE_UNSAFE", "A tensor lies outside the graph's own data.")
    if buffer.data is None or not len(buffer.data) or tensor.sparsity is not None:
        return
    kind, shape = kinds.get(tensor.type), [int(size) for size in _listed(tensor.shape)]
    wanted = math.prod(shape) * _TYPES[kind][1] if kind in _TYPES else len(buffer.data)
    if min(shape, default=0) < 0 or wanted != len(buffer.data):
        raise LamplighterError(
            "MODEL_FILE_UNSAFE", f"A tensor says {shape[:16]} and holds {len(buffer.data)} bytes."
        )


def _spec(tensor: Any, kinds: dict[int, str]) -> TensorSpec:  # noqa: ANN401 - a generated class
    name, kind = bytes(tensor.name or b"").decode(errors="replace"), kinds.get(tensor.type)
    if kind not in _TYPES:
        raise LamplighterError(
            "MODEL_FILE_UNSUPPORTED", f"{name!r} is of the type {kind}, which is not served."
        )
    free = _listed(tensor.shapeSignature) or _listed(tensor.shape)
    return TensorSpec(name=name, datatype=_TYPES[kind][0], shape=tuple(map(int, free)))


def _listed(values: Any) -> list[Any]:  # noqa: ANN401 - an array, or nothing
    return [] if values is None else list(values)
