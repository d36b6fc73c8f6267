"""A sequential ONNX graph as a network: dense or convolutional, one float32 input."""

from collections.abc import Callable
from dataclasses import replace
from typing import Final

import numpy as np

from lamplighter_converters.litert.chain import Step, read_chain, refused
from lamplighter_converters.litert.forward import forward
from lamplighter_converters.litert.network import (
    Affine,
    Apply,
    Array,
    Conv,
    Dense,
    Flatten,
    Function,
    Layer,
    Network,
)
from lamplighter_converters.litert.pictures import conv, pool
from lamplighter_converters.onnx_bytes import parse
from lamplighter_converters.quantize.lower import lower

_FUNCTIONS: Final[dict[str, Function]] = {
    "Relu": "relu",
    "Sigmoid": "sigmoid",
    "Tanh": "tanh",
    "Softmax": "softmax",
}


def read_network(raw: bytes) -> Network:
    """Read a graph; linear models are lowered to products first.

    Raises:
        LamplighterError: CONVERSION_REFUSED with what LiteRT or our writer cannot say.
    """
    chain = read_chain(parse(lower(raw)))
    reader = _Reader(chain.input_shape)
    for step in chain.steps:
        reader.take(step)
        if chain.doubled & set(step.node.output):
            reader.double()
    if not any(isinstance(layer, (Dense, Conv)) for layer in reader.layers):
        raise refused("The graph holds no product of weights")
    return Network(
        input_name=chain.input_name,
        input_shape=chain.input_shape,
        layers=tuple(reader.layers),
        numbers_name=chain.numbers_name,
        label_name=chain.label_name,
        labels=chain.labels,
    )


class _Reader:
    """Takes one operator after the other; each becomes a layer or goes into the one before."""

    def __init__(self, shape: tuple[int, ...]) -> None:
        self.layers: list[Layer] = []
        zeros = np.zeros((1, *shape))
        self._values = zeros.transpose(0, 2, 3, 1) if len(shape) == 3 else zeros

    def take(self, step: Step) -> None:
        """Translate an operator."""
        if step.kind in _FUNCTIONS:
            self._apply(step)
        elif step.kind in _TAKERS:
            _TAKERS[step.kind](self, step)
        else:
            raise refused(f"{step.kind} has no counterpart")

    def double(self) -> None:
        """Answer -s and s, whose sigmoids are 1 - p and p, where the layers so far answer s."""
        at = -2 if isinstance(self.layers[-1], Apply) else -1
        layer = self.layers[at] if len(self.layers) >= -at else None
        if not isinstance(layer, Dense):
            raise refused("The two scores do not come from one product")
        self.layers[at] = Dense(
            np.hstack([-layer.weights, layer.weights]), np.hstack([-layer.bias, layer.bias])
        )
        self._values = np.repeat(self._values, 2, axis=1)

    def same(self, step: Step) -> None:
        """What changes no number: casts to the same type, dropout at rest, the class to show."""

    def choice(self, step: Step) -> None:
        """Features by their positions, if it is all of them in their order."""
        chosen = step.constants[1]
        if chosen is None or not np.array_equal(chosen.ravel(), np.arange(self._values.shape[1])):
            raise refused("ArrayFeatureExtractor leaves features out or moves them")

    def normalize(self, step: Step) -> None:
        """What softmax gives sums to 1 already."""
        if step.attributes.get("norm") != b"L1" or self.layers[-1:] != [Apply("softmax")]:
            raise refused("Normalizer has no counterpart")

    def scaler(self, step: Step) -> None:
        """(x - offset) * scale."""
        scale = np.array(step.attributes["scale"], np.float64)
        self._affine(scale, -np.array(step.attributes["offset"], np.float64) * scale)

    def arithmetic(self, step: Step) -> None:
        """One operation with a constant for each feature or channel."""
        held = [one for one in step.constants if one is not None]
        value = self._by_feature(held[0])
        first = step.constants[0] is not None
        ones, zeros = np.ones_like(value), np.zeros_like(value)
        match step.kind:
            case "Add":
                self._affine(ones, value)
            case "Sub":
                self._affine(-ones if first else ones, value if first else -value)
            case "Mul":
                self._affine(value, zeros)
            case _ if first or not value.all():
                raise refused("Div by what is no constant, or by zero, has no counterpart")
            case _:
                self._affine(1 / value, zeros)

    def batch_norm(self, step: Step) -> None:
        """(x - mean) / deviation * scale + shift, all constant."""
        if any(one is None for one in step.constants[1:5]):
            raise refused("BatchNormalization needs constants")
        scale, shift, mean, variance = (np.float64(one) for one in step.constants[1:5])
        factor = scale / np.sqrt(variance + step.attributes.get("epsilon", 1e-5))
        self._affine(factor, shift - mean * factor)

    def product(self, step: Step) -> None:
        """MatMul and Gemm."""
        found, weights = step.attributes, step.constants[1]
        if weights is None or weights.ndim != 2 or self._values.ndim != 2:
            raise refused(f"{step.kind} is not rows times one matrix of constants")
        if found.get("transA", 0) or found.get("alpha", 1) != 1 or found.get("beta", 1) != 1:
            raise refused("Gemm has factors or turns its input")
        weights = np.asarray(weights.T if found.get("transB", 0) else weights, np.float64)
        bias = np.zeros(weights.shape[1])
        if len(step.constants) > 2 and step.constants[2] is not None:
            bias = bias + np.float64(step.constants[2]).reshape(-1)
        if weights.shape[0] != self._values.shape[1]:
            raise refused(f"{step.kind} does not fit what comes in")
        self._append(Dense(weights, bias))

    def convolution(self, step: Step) -> None:
        """Conv, plain or by depth."""
        self._append(conv(step, self._values.shape[1:]))

    def pooling(self, step: Step) -> None:
        """The four pools."""
        self._append(pool(step, self._values.shape[1:]))

    def flatten(self, step: Step) -> None:
        """Flatten and Reshape to rows."""
        shape = step.constants[1] if step.kind == "Reshape" else None
        width = int(np.prod(self._values.shape[1:]))
        to_rows = shape is None or (shape.shape == (2,) and shape[1] in {-1, width})
        if not to_rows or step.attributes.get("axis", 1) != 1:
            raise refused(f"{step.kind} gives other than rows")
        if self._values.ndim > 2:
            self._append(Flatten(transposed=True))

    def clip(self, step: Step) -> None:
        """Clip from 0 to 6, or from 0 up."""
        low, high = (*step.constants[1:3], None, None)[:2]
        ends = (None if low is None else float(low), None if high is None else float(high))
        if ends not in {(0.0, 6.0), (0.0, None)}:
            raise refused("Clip has other ends than 0 and 6")
        self._function("relu6" if ends[1] else "relu")

    def _apply(self, step: Step) -> None:
        if step.kind == "Softmax" and (
            self._values.ndim != 2 or step.attributes.get("axis", -1) not in {-1, 1}
        ):
            raise refused("Softmax is not over the answers of a row")
        self._function(_FUNCTIONS[step.kind])

    def _function(self, function: Function) -> None:
        last = self.layers[-1] if self.layers else None
        if (
            isinstance(last, (Dense, Conv))
            and last.clip == "none"
            and function in {"relu", "relu6"}
        ):
            self.layers[-1] = replace(last, clip="relu" if function == "relu" else "relu6")
        else:
            self._append(Apply(function))

    def _affine(self, scale: Array, offset: Array) -> None:
        """Into the product before it, if nothing stands between, else a layer of its own."""
        last = self.layers[-1] if self.layers else None
        if isinstance(last, (Dense, Conv)) and last.clip == "none":
            self.layers[-1] = replace(
                last, weights=last.weights * scale, bias=last.bias * scale + offset
            )
        elif isinstance(last, Affine):
            self.layers[-1] = Affine(last.scale * scale, last.offset * scale + offset)
        elif last is None:
            self._append(Affine(scale, offset))
        else:
            raise refused("Arithmetic stands where nothing can take it up")

    def _by_feature(self, value: Array) -> Array:
        """A constant as one number for each feature or channel."""
        wide, depth = self._values.ndim, self._values.shape[-1]
        channels_at = 1 if wide == 2 else value.ndim - 3
        others = [size for at, size in enumerate(value.shape) if at != channels_at]
        if value.size == 1 or (
            value.size == depth and (set(others) <= {1} or value.ndim == 1 == wide - 1)
        ):
            return np.broadcast_to(np.float64(value).ravel(), (depth,)).copy()
        raise refused("Arithmetic with other than one number for each feature")

    def _append(self, layer: Layer) -> None:
        try:
            self._values = forward(layer, self._values)
        except ValueError as error:
            raise refused(f"The shapes do not fit ({error})") from error
        self.layers.append(layer)


_TAKERS: Final[dict[str, Callable[[_Reader, Step], None]]] = {
    "Identity": _Reader.same,
    "Cast": _Reader.same,
    "Dropout": _Reader.same,
    "ArrayFeatureExtractor": _Reader.choice,
    "Normalizer": _Reader.normalize,
    "Scaler": _Reader.scaler,
    "Add": _Reader.arithmetic,
    "Sub": _Reader.arithmetic,
    "Mul": _Reader.arithmetic,
    "Div": _Reader.arithmetic,
    "BatchNormalization": _Reader.batch_norm,
    "MatMul": _Reader.product,
    "Gemm": _Reader.product,
    "Conv": _Reader.convolution,
    "MaxPool": _Reader.pooling,
    "AveragePool": _Reader.pooling,
    "GlobalAveragePool": _Reader.pooling,
    "GlobalMaxPool": _Reader.pooling,
    "Flatten": _Reader.flatten,
    "Reshape": _Reader.flatten,
    "Clip": _Reader.clip,
}
