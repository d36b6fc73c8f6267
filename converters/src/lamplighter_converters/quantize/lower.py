"""Linear models as matrix products: as single operators of their own they cannot be quantized."""

from typing import Any, Final

import numpy as np
import numpy.typing as npt
from onnx import ModelProto, NodeProto, TensorProto, helper, numpy_helper

from lamplighter_converters.onnx_bytes import canonical_bytes, parse

#: What a linear classifier does with its scores, as an operator.
_AFTER: Final = {b"NONE": "Identity", b"SOFTMAX": "Softmax", b"LOGISTIC": "Sigmoid"}


def lower(raw: bytes) -> bytes:
    """Write LinearRegressor and LinearClassifier as Gemm; the same bytes if there are none.

    A node of a form that the operators do not allow to express stays as it is.

    Raises:
        LamplighterError: CONVERSION_REFUSED if it is not an ONNX model.
    """
    model = parse(raw)
    graph = model.graph
    used = {name for node in graph.node for name in node.input}
    used |= {output.name for output in graph.output}
    nodes: list[NodeProto] = []
    for number, node in enumerate(graph.node):
        nodes += _lowered(model, node, f"lowered{number}", used) or [node]
    if len(nodes) == len(graph.node) and all(
        a is b for a, b in zip(nodes, graph.node, strict=True)
    ):
        return raw
    copies = [NodeProto.FromString(node.SerializeToString()) for node in nodes]
    del graph.node[:]
    graph.node.extend(copies)
    if not any(opset.domain in {"", "ai.onnx"} for opset in model.opset_import):
        model.opset_import.append(helper.make_opsetid("", 17))
    return canonical_bytes(model)


def _lowered(model: ModelProto, node: NodeProto, name: str, used: set[str]) -> list[NodeProto]:
    if node.domain != "ai.onnx.ml" or node.op_type not in {"LinearRegressor", "LinearClassifier"}:
        return []
    found = {attribute.name: helper.get_attribute_value(attribute) for attribute in node.attribute}
    after = _AFTER.get(found.get("post_transform", b"NONE"))
    weights = np.array(found["coefficients"], np.float32)
    labels = found.get("classlabels_ints") or found.get("classlabels_strings", [])
    regressor = node.op_type == "LinearRegressor"
    rows = found.get("targets", 1) if regressor else len(labels)
    bias = np.array(found.get("intercepts", np.zeros(rows)), np.float32)
    wants_label = not regressor and node.output[0] in used
    # Words as labels are never asked for: what we serve is their position.
    is_text = bool(found.get("classlabels_strings"))
    if (
        after is None
        or (wants_label and is_text)
        or not rows
        or len(weights) % rows
        or len(bias) != rows
    ):
        return []
    score, answer = f"{name}.score", node.output[-1]
    _constant(model, f"{name}.w", weights.reshape(rows, -1).T)
    _constant(model, f"{name}.b", bias)
    # A cast states the type, which operators of the other domain leave open for calibration.
    plain = helper.make_node("Cast", [node.input[0]], [f"{name}.x"], to=TensorProto.FLOAT)
    product = helper.make_node("Gemm", [f"{name}.x", f"{name}.w", f"{name}.b"], [score])
    shaped = helper.make_node(after, [score], [answer])
    if after == "Softmax":
        shaped.attribute.append(helper.make_attribute("axis", 1))
    if not wants_label:
        return [plain, product, shaped]
    _constant(model, f"{name}.labels", np.array(labels, np.int64))
    return [
        plain,
        product,
        shaped,
        helper.make_node("ArgMax", [score], [f"{name}.at"], axis=1, keepdims=0),
        helper.make_node("Gather", [f"{name}.labels", f"{name}.at"], [node.output[0]], axis=0),
    ]


def _constant(model: ModelProto, name: str, values: npt.NDArray[Any]) -> None:
    model.graph.initializer.append(numpy_helper.from_array(np.ascontiguousarray(values), name))
