"""A sequential network: what our writer can say in LiteRT.

Activations are of shape (n, features), or (n, height, width, channels) as LiteRT has them.
"""

from dataclasses import dataclass
from typing import Any, Literal

import numpy.typing as npt

Array = npt.NDArray[Any]
Function = Literal["softmax", "sigmoid", "tanh", "relu", "relu6"]
Clip = Literal["none", "relu", "relu6"]
Padding = Literal["same", "valid"]


@dataclass(frozen=True)
class Affine:
    """x * scale + offset by feature; stays float, so that features of any range survive int8."""

    scale: Array
    offset: Array


@dataclass(frozen=True)
class Dense:
    """clip(x @ weights + bias); weights of shape (in, out)."""

    weights: Array
    bias: Array
    clip: Clip = "none"


@dataclass(frozen=True)
class Conv:
    """A convolution; weights of shape (height, width, in, out), or (h, w, channels) by depth."""

    weights: Array
    bias: Array
    stride: tuple[int, int]
    padding: Padding
    clip: Clip = "none"

    @property
    def by_depth(self) -> bool:
        """Whether each channel has a filter of its own."""
        return self.weights.ndim == 3


@dataclass(frozen=True)
class Pool:
    """The largest or the mean of each window; `size` None takes the whole picture."""

    kind: Literal["max", "mean"]
    size: tuple[int, int] | None
    stride: tuple[int, int]
    padding: Padding


@dataclass(frozen=True)
class Apply:
    """A function of its own, where it is not clipped into the layer before."""

    function: Function


@dataclass(frozen=True)
class Flatten:
    """Pictures as rows; `transposed` in the order (channels, height, width) that ONNX has."""

    transposed: bool


Layer = Affine | Dense | Conv | Pool | Apply | Flatten


@dataclass(frozen=True)
class Network:
    """Layers from one input to one output of numbers, and the label of the largest."""

    input_name: str
    input_shape: tuple[int, ...]
    """Without the batch, as the ONNX graph has it: (features,) or (channels, height, width)."""
    layers: tuple[Layer, ...]
    numbers_name: str
    label_name: str | None
    labels: tuple[int, ...]
    """Label by position; empty if the position is the label."""
