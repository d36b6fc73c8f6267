"""Convolutions and pools of ONNX as LiteRT has them: channels last, two kinds of padding."""

from typing import Any

import numpy as np

from lamplighter_converters.litert.chain import Step, refused
from lamplighter_converters.litert.forward import pads
from lamplighter_converters.litert.network import Conv, Padding, Pool


def conv(step: Step, shape: tuple[int, ...]) -> Conv:
    """A convolution over pictures of shape (height, width, channels).

    Raises:
        LamplighterError: CONVERSION_REFUSED.
    """
    weights = step.constants[1]
    if weights is None or weights.ndim != 4 or len(shape) != 3:
        raise refused("Conv is not a picture times constant filters")
    out, within, height, width = weights.shape
    groups = int(step.attributes.get("group", 1))
    bias = step.constants[2] if len(step.constants) > 2 else None
    bias = np.zeros(out) if bias is None else np.asarray(bias, np.float64)
    stride, padding = _places(step, shape, (height, width))
    weights = np.asarray(weights, np.float64)
    if groups == 1 and within == shape[2]:
        return Conv(weights.transpose(2, 3, 1, 0), bias, stride, padding)
    if groups == out == shape[2] and within == 1:
        return Conv(weights[:, 0].transpose(1, 2, 0), bias, stride, padding)
    raise refused("Conv has groups other than one for each channel")


def pool(step: Step, shape: tuple[int, ...]) -> Pool:
    """A pool over pictures of shape (height, width, channels).

    Raises:
        LamplighterError: CONVERSION_REFUSED.
    """
    if len(shape) != 3:
        raise refused(f"{step.kind} is not over pictures")
    if step.kind.startswith("Global"):
        return Pool("mean" if "Average" in step.kind else "max", None, (1, 1), "valid")
    height, width = _two(step.attributes.get("kernel_shape"))
    stride, padding = _places(step, shape, (height, width))
    kind: Any = "max" if step.kind == "MaxPool" else "mean"
    counts_pads = step.attributes.get("count_include_pad", 0) and kind == "mean"
    if step.attributes.get("ceil_mode", 0) or (counts_pads and padding == "same"):
        raise refused(f"{step.kind} counts beyond the picture")
    return Pool(kind, (height, width), stride, padding)


def _places(
    step: Step, shape: tuple[int, ...], window: tuple[int, int]
) -> tuple[tuple[int, int], Padding]:
    """Stride and padding, if LiteRT has the padding."""
    found = step.attributes
    stride = _two(found.get("strides", [1, 1]))
    if set(found.get("dilations", [1])) != {1}:
        raise refused(f"{step.kind} is dilated")
    automatic = found.get("auto_pad", b"NOTSET")
    if automatic == b"SAME_UPPER":
        return stride, "same"
    if automatic not in {b"NOTSET", b"VALID"}:
        raise refused(f"{step.kind} is padded in a way of its own")
    explicit = list(found.get("pads", [0, 0, 0, 0])) if automatic == b"NOTSET" else [0] * 4
    if not any(explicit):
        return stride, "valid"
    same = [pads(shape[at], window[at], stride[at], "same") for at in (0, 1)]
    if explicit == [same[0][0], same[1][0], same[0][1], same[1][1]]:
        return stride, "same"
    raise refused(f"{step.kind} is padded by {explicit}")


def _two(values: Any) -> tuple[int, int]:  # noqa: ANN401 - an attribute
    if values is None or len(values) != 2 or min(values) < 1:
        raise refused("Pictures have two dimensions")
    return int(values[0]), int(values[1])
