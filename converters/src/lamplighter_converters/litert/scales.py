"""int8 scales, by the rules of LiteRT's 8-bit quantization specification.

Activations: one scale and zero point for each tensor, the range with 0 in it on -128 to 127.
Weights: symmetric on -127 to 127, convolutions by output channel. Biases: int32 at input x weight.
https://ai.google.dev/edge/litert/models/quantization_spec
"""

from dataclasses import dataclass
from typing import Final

import numpy as np

from lamplighter_converters.litert.network import Apply, Array, Flatten, Function, Layer, Pool
from lamplighter_protocol.errors import LamplighterError


@dataclass(frozen=True)
class Scale:
    """real = (stored - zero) * scale; more than one scale stands along `axis`."""

    scale: Array
    zero: int = 0
    axis: int = 0


#: What the kernels demand of these outputs.
_FIXED: Final[dict[Function, Scale]] = {
    "softmax": Scale(np.array([1 / 256]), -128),
    "sigmoid": Scale(np.array([1 / 256]), -128),
    "tanh": Scale(np.array([1 / 128]), 0),
}


def of_values(values: Array) -> Scale:
    """The scale of an activation that took these values."""
    low, high = min(0.0, float(values.min())), max(0.0, float(values.max()))
    scale = np.float64(np.float32((high - low) / 255 or 1.0))
    return Scale(np.array([scale]), int(np.clip(round(-128 - low / scale), -128, 127)))


def of_output(layer: Layer, before: Scale, values: Array) -> Scale:
    """The scale of what a layer gives; pooling and reshaping keep what they got."""
    if isinstance(layer, (Pool, Flatten)):
        return before
    if isinstance(layer, Apply) and layer.function in _FIXED:
        return _FIXED[layer.function]
    return of_values(values)


def of_weights(weights: Array, axis: int | None) -> tuple[Array, Scale]:
    """Weights as int8 and their scale, or scales along an axis."""
    others = (
        None if axis is None else tuple(i for i in range(weights.ndim) if i != axis % weights.ndim)
    )
    largest = np.abs(weights).max(axis=others, keepdims=True)
    scale = np.where(largest == 0, 1.0, largest / 127).astype(np.float32).astype(np.float64)
    stored = np.clip(np.round(weights / scale), -127, 127).astype(np.int8)
    return stored, Scale(scale.ravel(), 0, 0 if axis is None else axis % weights.ndim)


def of_bias(bias: Array, before: Scale, weights: Scale) -> tuple[Array, Scale]:
    """A bias as int32 at the scale of the products.

    Raises:
        LamplighterError: CONVERSION_REFUSED if it is too large beside the products.
    """
    scale = before.scale * weights.scale
    stored = np.round(bias / scale)
    if not (np.abs(stored) < 2**31).all():
        raise LamplighterError("CONVERSION_REFUSED", "A bias is too large beside its weights.")
    return stored.astype(np.int32), Scale(scale)
