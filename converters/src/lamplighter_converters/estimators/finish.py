"""The last touches: served names and shapes of the outputs, and bytes that repeat."""

from typing import Final

import numpy as np
from onnx import GraphProto, ModelProto, NodeProto, TensorProto, helper, numpy_helper

from lamplighter_converters.estimators.task import LABEL, OUTPUTS, Task
from lamplighter_protocol.errors import LamplighterError

#: Understood by every runtime on the agent's list, down to onnxruntime 1.23.
TARGET_OPSET: Final = 17


def finish(model: ModelProto, task: Task) -> None:
    """Give the outputs of a converted estimator their served names, types and shapes.

    Raises:
        LamplighterError: CONVERSION_REFUSED if the outputs are others than the task has.
    """
    graph, wanted = model.graph, OUTPUTS[task]
    types = {value.name: value.type.tensor_type for value in graph.output}
    found = _without_zipmap(graph)
    if len(found) != len(wanted):
        raise LamplighterError(
            "CONVERSION_REFUSED", f"The graph answers {found}; {list(wanted)} are served."
        )
    as_text = types[graph.output[0].name].elem_type == TensorProto.STRING
    sources = dict(zip(wanted, found, strict=True))
    if as_text:
        graph.node.append(helper.make_node("ArgMax", [found[1]], ["@at"], axis=1, keepdims=0))
        sources[LABEL] = "@at"
    elif LABEL in sources:  # some converters declare a vector and answer a column
        graph.initializer.append(numpy_helper.from_array(np.array([-1]), "@flat"))
        graph.node.append(helper.make_node("Reshape", [found[0], "@flat"], ["@label"]))
        sources[LABEL] = "@label"
    _declare_opset(model)
    del graph.output[:]
    for name in wanted:
        is_label = name == LABEL
        graph.output.append(
            helper.make_tensor_value_info(
                sources[name],
                TensorProto.INT64 if is_label else TensorProto.FLOAT,
                [None] if is_label else [None, None],
            )
        )
    _prune(graph)
    _rename(model, {source: name for name, source in sources.items()})


def _declare_opset(model: ModelProto) -> None:
    """The converter declares the oldest set that holds its operators; scales by channel need 13."""
    kept = [opset for opset in model.opset_import if opset.domain != ""]
    del model.opset_import[:]
    model.opset_import.extend([*kept, helper.make_opsetid("", TARGET_OPSET)])


def _without_zipmap(graph: GraphProto) -> list[str]:
    """The outputs as tensors: the converter packs probabilities into dictionaries."""
    maps = {node.output[0]: node for node in graph.node if node.op_type == "ZipMap"}
    for node in maps.values():
        graph.node.remove(node)
    names = (value.name for value in graph.output)
    return [maps[name].input[0] if name in maps else name for name in names]


def _prune(graph: GraphProto) -> None:
    """Leave out what makes nothing that is answered, such as labels that are words."""
    used = {value.name for value in graph.output}
    kept: list[NodeProto] = []
    for node in reversed(graph.node):
        if used & set(node.output):
            kept.insert(0, node)
            used |= _reads(node)
    if len(kept) < len(graph.node):
        copies = [NodeProto.FromString(node.SerializeToString()) for node in kept]
        del graph.node[:]
        graph.node.extend(copies)
        unused = [tensor for tensor in graph.initializer if tensor.name not in used]
        for tensor in unused:
            graph.initializer.remove(tensor)


def _reads(node: NodeProto) -> set[str]:
    """What a node and the graphs inside it take."""
    inner = [one.g for one in node.attribute if one.HasField("g")]
    answered = {value.name for graph in inner for value in graph.output}
    reads = (_reads(one) for graph in inner for one in graph.node)
    return answered.union(node.input, *reads)


def _rename(model: ModelProto, served: dict[str, str]) -> None:
    """Name what is inside the graph by its position: the converter counts on from call to call."""
    names = {"": "", **{value.name: value.name for value in model.graph.input}, **served}

    def rename(name: str) -> str:
        served_as: str = names.setdefault(name, f"v{len(names)}")
        return served_as

    def visit(graph: GraphProto) -> None:
        for values in (graph.input, graph.initializer, graph.output, graph.value_info):
            for value in values:
                value.name = rename(value.name)
        for number, node in enumerate(graph.node):
            node.name = f"n{number}"
            node.input[:] = map(rename, node.input)
            node.output[:] = map(rename, node.output)
            for attribute in node.attribute:
                if attribute.HasField("g"):
                    attribute.g.name = f"g{number}"
                    visit(attribute.g)

    visit(model.graph)
