"""The network in NumPy: which values each activation takes on calibration rows."""

from typing import Final

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from scipy.special import expit, softmax

from lamplighter_converters.litert.network import (
    Affine,
    Apply,
    Array,
    Clip,
    Conv,
    Dense,
    Flatten,
    Layer,
    Network,
    Padding,
    Pool,
)

#: The upper end of what a layer lets through; the lower is 0.
CLIPS: Final[dict[Clip, float]] = {"none": np.inf, "relu": np.inf, "relu6": 6.0}


def activations(network: Network, rows: Array) -> list[Array]:
    """The input as the first layer takes it, then what each layer gives.

    Args:
        network: The network.
        rows: Shape (n, *network.input_shape).
    """
    values = np.asarray(rows, np.float64)
    if len(network.input_shape) == 3:
        values = values.transpose(0, 2, 3, 1)
    found = [values]
    for layer in network.layers:
        found.append(forward(layer, found[-1]))
    return found


def pads(size: int, window: int, stride: int, padding: Padding) -> tuple[int, int]:
    """What is added before and after one dimension, as LiteRT does it."""
    if padding == "valid":
        return 0, 0
    total = max((-(-size // stride) - 1) * stride + window - size, 0)
    return total // 2, total - total // 2


def forward(layer: Layer, values: Array) -> Array:
    """What one layer makes of its input, in float64."""
    match layer:
        case Affine():
            return np.asarray(values * layer.scale + layer.offset)
        case Dense():
            return _clip(values @ layer.weights + layer.bias, layer.clip)
        case Conv():
            height, width = layer.weights.shape[:2]
            windows = _windows(values, (height, width), layer.stride, layer.padding, 0.0)
            form = "nhwcij,ijc->nhwc" if layer.by_depth else "nhwcij,ijco->nhwo"
            found = np.einsum(form, windows, layer.weights, optimize=True)
            return _clip(found + layer.bias, layer.clip)
        case Pool():
            size = layer.size or (values.shape[1], values.shape[2])
            outside = -np.inf if layer.kind == "max" else np.nan
            windows = _windows(values, size, layer.stride, layer.padding, outside)
            reduced = (
                windows.max((-2, -1)) if layer.kind == "max" else np.nanmean(windows, (-2, -1))
            )
            return np.asarray(reduced)
        case Flatten():
            ordered = values.transpose(0, 3, 1, 2) if layer.transposed else values
            return ordered.reshape(len(values), -1)
        case Apply():
            return _apply(layer, values)


def _apply(layer: Apply, values: Array) -> Array:
    match layer.function:
        case "softmax":
            return np.asarray(softmax(values, axis=1))
        case "sigmoid":
            return np.asarray(expit(values))
        case "tanh":
            return np.tanh(values)
        case "relu" | "relu6":
            return _clip(values, layer.function)


def _clip(values: Array, clip: Clip) -> Array:
    return values if clip == "none" else np.clip(values, 0, CLIPS[clip])


def _windows(
    values: Array, size: tuple[int, int], stride: tuple[int, int], padding: Padding, outside: float
) -> Array:
    around = [
        (0, 0),
        pads(values.shape[1], size[0], stride[0], padding),
        pads(values.shape[2], size[1], stride[1], padding),
        (0, 0),
    ]
    padded = np.pad(values, around, constant_values=outside)
    return sliding_window_view(padded, size, axis=(1, 2))[:, :: stride[0], :: stride[1]]
