"""The one path through an ONNX graph from its input to its numbers."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

from onnx import GraphProto, ModelProto, NodeProto, TensorProto, helper, numpy_helper

from lamplighter_converters.litert.network import Array
from lamplighter_protocol.errors import LamplighterError

#: What may stand between the largest number and the label, and changes neither.
_LABEL_STEPS: Final = frozenset({"Cast", "Reshape", "Identity"})

#: Operators of classical machine learning that a network may hold.
_KNOWN_ML: Final = frozenset({"Scaler", "Normalizer", "ArrayFeatureExtractor"})


def refused(reason: str) -> LamplighterError:
    """The error of a graph that the writer cannot say."""
    return LamplighterError("CONVERSION_REFUSED", f"LiteRT: {reason}.")


@dataclass(frozen=True)
class Step:
    """A node of the path, its attributes, and its constants in the order of its inputs."""

    node: NodeProto
    attributes: dict[str, Any]
    constants: tuple[Array | None, ...]
    """None where the path itself comes in, or an optional input is left out."""

    @property
    def kind(self) -> str:
        """The operator."""
        return str(self.node.op_type)


@dataclass(frozen=True)
class Chain:
    """A graph of one path."""

    input_name: str
    input_shape: tuple[int, ...]
    steps: tuple[Step, ...]
    doubled: frozenset[str]
    """Tensors of one score s for which the graph answers two: 1 - s and s, or -s and s."""
    numbers_name: str
    label_name: str | None
    labels: tuple[int, ...]


def read_chain(model: ModelProto) -> Chain:
    """Follow the graph from its numbers back to its input.

    Raises:
        LamplighterError: CONVERSION_REFUSED if there is more than one path.
    """
    graph = model.graph
    constants = _constants(graph)
    inputs = [value for value in graph.input if value.name not in constants]
    outputs = {value.name: value.type.tensor_type.elem_type for value in graph.output}
    numbers = [name for name, kind in outputs.items() if kind == TensorProto.FLOAT]
    labels = [name for name, kind in outputs.items() if kind == TensorProto.INT64]
    if len(inputs) != 1 or inputs[0].type.tensor_type.elem_type != TensorProto.FLOAT:
        raise refused("The graph has not one float32 input")
    if len(numbers) != 1 or len(labels) > 1 or len(outputs) != len(numbers) + len(labels):
        raise refused("The graph does not answer numbers, or a label and numbers")
    producers = {name: node for node in graph.node for name in node.output}
    shape = tuple(dim.dim_value for dim in inputs[0].type.tensor_type.shape.dim)[1:]
    if len(shape) not in {1, 3} or 0 in shape:
        raise refused("The input is not a row of features or a picture of fixed size")
    doubled: set[str] = set()
    steps = list(_back(numbers[0], inputs[0].name, producers, constants, doubled))
    return Chain(
        input_name=inputs[0].name,
        input_shape=shape,
        steps=tuple(reversed(steps)),
        doubled=frozenset(doubled),
        numbers_name=numbers[0],
        label_name=labels[0] if labels else None,
        labels=_labels(labels[0], producers, constants) if labels else (),
    )


def _constants(graph: GraphProto) -> dict[str, Array]:
    found = {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer}
    for node in graph.node:
        if node.op_type == "Constant" and node.attribute[0].name == "value":
            found[node.output[0]] = numpy_helper.to_array(node.attribute[0].t)
    return found


def _back(
    name: str,
    start: str,
    producers: dict[str, NodeProto],
    constants: dict[str, Array],
    doubled: set[str],
) -> Iterator[Step]:
    for _ in range(len(producers)):
        if name == start:
            return
        node = producers.get(name)
        if node is None:
            raise refused(f"Nothing makes the tensor {name!r}")
        if node.op_type == "Concat" and len(node.input) == 2:
            name = _doubled(node, producers, constants)
            doubled.add(name)
            continue
        if node.domain == "ai.onnx.ml" and node.op_type not in _KNOWN_ML:
            raise refused(f"{node.op_type} has no counterpart")
        flowing = [one for one in node.input if one and one not in constants]
        if len(flowing) != 1 or name != node.output[0]:
            raise refused(f"{node.op_type} joins or splits paths, and the network is one path")
        yield Step(
            node,
            {one.name: helper.get_attribute_value(one) for one in node.attribute},
            tuple(constants.get(one) for one in node.input),
        )
        name = flowing[0]
    if name != start:
        raise refused("The graph goes round in a circle")


def _doubled(node: NodeProto, producers: dict[str, NodeProto], constants: dict[str, Array]) -> str:
    """The score s of Concat(1 - s, s) or Concat(-s, s)."""
    other, score = node.input
    made = producers.get(other)
    if made is not None and score in made.input:
        held = [constants[name] for name in made.input if name in constants]
        value = float(held[0].ravel()[0]) if len(held) == 1 and held[0].size == 1 else None
        if (made.op_type, value) in {("Sub", 1.0), ("Mul", -1.0)}:
            return str(score)
    raise refused("Concat joins or splits paths, and the network is one path")


def _labels(
    name: str, producers: dict[str, NodeProto], constants: dict[str, Array]
) -> tuple[int, ...]:
    """What label stands for each position; empty if the position is the label."""
    for _ in range(len(producers)):
        node = producers.get(name)
        if node is None:
            break
        if node.op_type in {"Gather", "ArrayFeatureExtractor"} and node.input[0] in constants:
            return tuple(int(label) for label in constants[node.input[0]].ravel())
        if node.op_type == "ArgMax":
            return ()
        if node.op_type not in _LABEL_STEPS:
            break
        name = node.input[0]
    raise refused("The label is not that of the largest number")
