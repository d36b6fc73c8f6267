"""Small sequential networks as ONNX files, with weights of a seed."""

from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

Array = np.ndarray[Any, Any]
PICTURE = (2, 9, 8)


class Net:
    """Collects operators one after the other."""

    def __init__(self, shape: tuple[int, ...], seed: int) -> None:
        self.shape = shape
        self.random = np.random.default_rng(seed)
        self.nodes: list[onnx.NodeProto] = []
        self.constants: list[onnx.TensorProto] = []
        self.now = "x"

    def add(self, kind: str, *constants: Array, domain: str = "", **attributes: Any) -> "Net":
        names = [f"c{len(self.constants) + number}" for number in range(len(constants))]
        self.constants += [
            numpy_helper.from_array(value, name)
            for name, value in zip(names, constants, strict=True)
        ]
        after = f"t{len(self.nodes)}"
        self.nodes.append(
            helper.make_node(kind, [self.now, *names], [after], domain=domain, **attributes)
        )
        self.now = after
        return self

    def dense(self, before: int, after: int) -> "Net":
        weights = self.random.normal(0, before**-0.5, (before, after)).astype(np.float32)
        return self.add("Gemm", weights, self.random.normal(0, 0.1, after).astype(np.float32))

    def conv(self, before: int, after: int, size: int = 3, **attributes: Any) -> "Net":
        within = before // attributes.get("group", 1)
        scale = (within * size * size) ** -0.5
        weights = self.random.normal(0, scale, (after, within, size, size)).astype(np.float32)
        bias = self.random.normal(0, 0.1, after).astype(np.float32)
        return self.add("Conv", weights, bias, **attributes)

    def rows(self, count: int) -> dict[str, Array]:
        return {"x": self.random.normal(0, 1, (count, *self.shape)).astype(np.float32)}

    def model(self) -> bytes:
        graph = helper.make_graph(
            self.nodes,
            "net",
            [helper.make_tensor_value_info("x", TensorProto.FLOAT, [None, *self.shape])],
            [helper.make_tensor_value_info(self.now, TensorProto.FLOAT, [None, None])],
            self.constants,
        )
        opsets = [helper.make_opsetid("", 17), helper.make_opsetid("ai.onnx.ml", 3)]
        made = helper.make_model(graph, opset_imports=opsets, ir_version=8)
        raw: bytes = made.SerializeToString()
        return raw


def small_cnn(seed: int = 1) -> Net:
    net = Net(PICTURE, seed).conv(2, 6, pads=[1, 1, 1, 1]).add("Relu")
    net.add("MaxPool", kernel_shape=[2, 2], strides=[2, 2]).conv(6, 6, group=6, pads=[1, 1, 1, 1])
    net.add("Clip", np.array(0, np.float32), np.array(6, np.float32)).conv(6, 8, size=1).add("Relu")
    return net.add("GlobalAveragePool").add("Flatten").dense(8, 4).add("Softmax", axis=1)
