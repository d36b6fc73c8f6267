"""A network as a LiteRT file, float or int8.

Operator versions are the oldest that can say it, so that tflite-runtime 2.14 runs it too. Input
and output are float32, as the ONNX variants have them; the label is that of the largest number.
"""

from typing import Any, Final

import numpy as np

from lamplighter_converters.litert import scales
from lamplighter_converters.litert.file import LitertFile
from lamplighter_converters.litert.forward import activations
from lamplighter_converters.litert.network import (
    Affine,
    Apply,
    Array,
    Clip,
    Conv,
    Dense,
    Flatten,
    Function,
    Layer,
    Network,
    Padding,
    Pool,
)
from lamplighter_converters.litert.scales import Scale
from lamplighter_converters.quantize.calibration import spread
from lamplighter_protocol.errors import LamplighterError

_FUNCTIONS: Final[dict[Function, str]] = {
    "softmax": "SOFTMAX",
    "sigmoid": "LOGISTIC",
    "tanh": "TANH",
    "relu": "RELU",
    "relu6": "RELU6",
}
_CLIPS: Final[dict[Clip, str]] = {"none": "NONE", "relu": "RELU", "relu6": "RELU6"}


def write_float(network: Network) -> bytes:
    """The network as it is."""
    return _Writer(network, np.zeros((1, *network.input_shape)), int8=False).write()


def write_int8(network: Network, calibration: Array) -> bytes:
    """The network with int8 weights and activations, at scales found on calibration rows.

    Args:
        network: The network.
        calibration: Typical rows, shape (n, *network.input_shape); at most
            CALIBRATION_ROWS of them are used.

    Raises:
        LamplighterError: CONVERSION_REFUSED if the rows do not fit or are not finite.
    """
    rows = calibration[spread(len(calibration))]
    if rows.shape[1:] != network.input_shape or not len(rows) or not np.isfinite(rows).all():
        raise LamplighterError("CONVERSION_REFUSED", "Calibration needs rows, all of them finite.")
    return _Writer(network, rows, int8=True).write()


class _Writer:
    """Goes through the layers; `_now` is what the next one reads, `_scale` how (None: float)."""

    def __init__(self, network: Network, rows: Array, *, int8: bool) -> None:
        self._network, self._int8 = network, int8
        self._file = LitertFile()
        self._values = activations(network, rows)
        self._now = 0
        self._scale: Scale | None = None

    def write(self) -> bytes:
        """The file."""
        network, file = self._network, self._file
        start = self._now = file.tensor(network.input_name, (-1, *network.input_shape), "float32")
        if len(network.input_shape) == 3:
            self._transpose((0, 2, 3, 1), self._values[0])
        judged = self._now
        for layer, before, after in zip(
            network.layers, self._values, self._values[1:], strict=False
        ):
            if self._int8 and self._scale is None and not isinstance(layer, Affine):
                self._quantize(before)
            if isinstance(layer, Apply):
                judged = self._now  # equal after rounding is more often than equal before
            self._layer(layer, before, after)
            if not isinstance(layer, Apply):
                judged = self._now
        label = () if network.label_name is None else (self._label(judged, network.label_name),)
        return file.finish((start,), (*label, self._numbers()))

    def _layer(self, layer: Layer, before: Array, after: Array) -> None:
        match layer:
            case Affine():
                self._floats("MUL", layer.scale, after)
                self._floats("ADD", layer.offset, after)
            case Dense():
                self._product(
                    "FULLY_CONNECTED",
                    layer.weights.T,
                    (layer, None, after),
                    options="FullyConnectedOptions",
                    version=4,
                )
            case Conv():
                self._conv(layer, after)
            case Pool():
                self._pool(layer, before, after)
            case Flatten():
                if layer.transposed:
                    self._transpose((0, 3, 1, 2), after)
                shape = self._constant("shape", np.array([-1, after.shape[1]], np.int32))
                self._emit(
                    "RESHAPE",
                    (shape,),
                    after,
                    scale=self._scale,
                    version=1,
                    options="ReshapeOptions",
                )
            case Apply():
                scale = self._scale_after(layer, after)
                is_softmax = layer.function == "softmax"
                self._emit(
                    _FUNCTIONS[layer.function],
                    (),
                    after,
                    scale=scale,
                    version=2 if scale else 1,
                    **({"options": "SoftmaxOptions", "beta": 1.0} if is_softmax else {}),
                )

    def _conv(self, layer: Conv, after: Array) -> None:
        height, width = layer.stride
        common = {
            "padding": self._padding(layer.padding),
            "strideH": height,
            "strideW": width,
            "dilationHFactor": 1,
            "dilationWFactor": 1,
        }
        if layer.by_depth:
            self._product(
                "DEPTHWISE_CONV_2D",
                layer.weights[np.newaxis],
                (layer, 3, after),
                options="DepthwiseConv2DOptions",
                version=3,
                depthMultiplier=1,
                **common,
            )
        else:
            self._product(
                "CONV_2D",
                layer.weights.transpose(3, 0, 1, 2),
                (layer, 0, after),
                options="Conv2DOptions",
                version=3,
                **common,
            )

    def _pool(self, layer: Pool, before: Array, after: Array) -> None:
        height, width = layer.size or before.shape[1:3]
        self._emit(
            "MAX_POOL_2D" if layer.kind == "max" else "AVERAGE_POOL_2D",
            (),
            after,
            scale=self._scale,
            version=2 if self._scale else 1,
            options="Pool2DOptions",
            padding=self._padding(layer.padding),
            strideH=layer.stride[0],
            strideW=layer.stride[1],
            filterHeight=height,
            filterWidth=width,
            fusedActivationFunction=self._file.schema.ActivationFunctionType.NONE,
        )

    def _product(
        self,
        kind: str,
        weights: Array,
        of: tuple[Dense | Conv, int | None, Array],
        *,
        version: int,
        **options: Any,  # noqa: ANN401 - the operator's own
    ) -> None:
        """Weights and bias as constants, and the operator; `of`: layer, axis of scales, result."""
        layer, axis, after = of
        scale = self._scale_after(layer, after)
        if self._scale is None:
            version = 1
            inputs = (
                self._constant("weights", weights.astype(np.float32)),
                self._constant("bias", layer.bias.astype(np.float32)),
            )
        else:
            stored, weights_scale = scales.of_weights(weights, axis)
            bias, bias_scale = scales.of_bias(layer.bias, self._scale, weights_scale)
            inputs = (
                self._constant("weights", stored, weights_scale),
                self._constant("bias", bias, bias_scale),
            )
        clip = getattr(self._file.schema.ActivationFunctionType, _CLIPS[layer.clip])
        self._emit(
            kind,
            inputs,
            after,
            scale=scale,
            version=version,
            fusedActivationFunction=clip,
            **options,
        )

    def _emit(
        self,
        kind: str,
        constants: tuple[int, ...],
        after: Array,
        *,
        version: int,
        scale: Scale | None,
        **options: Any,  # noqa: ANN401 - the operator's own
    ) -> None:
        """An operator from what is now to what comes after it."""
        made = self._tensor(kind.lower(), after, scale)
        self._file.operator(kind, (self._now, *constants), made, version=version, **options)
        self._now, self._scale = made, scale

    def _floats(self, kind: str, values: Array, after: Array) -> None:
        """An affine step, before anything is int8."""
        self._emit(
            kind,
            (self._constant(kind.lower(), values.astype(np.float32)),),
            after,
            scale=None,
            version=1,
            options="MulOptions" if kind == "MUL" else "AddOptions",
        )

    def _transpose(self, order: tuple[int, ...], after: Array) -> None:
        self._emit(
            "TRANSPOSE",
            (self._constant("order", np.array(order, np.int32)),),
            after,
            scale=self._scale,
            version=2 if self._scale else 1,
            options="TransposeOptions",
        )

    def _quantize(self, values: Array) -> None:
        scale = scales.of_values(values)
        self._emit("QUANTIZE", (), values, scale=scale, version=1, options="QuantizeOptions")

    def _numbers(self) -> int:
        """The output of numbers, as float32 under its name."""
        if self._scale is not None:
            options = {"options": "DequantizeOptions"}
            self._emit("DEQUANTIZE", (), self._values[-1], scale=None, version=2, **options)
        self._file.rename(self._now, self._network.numbers_name)
        return self._now

    def _label(self, numbers: int, name: str) -> int:
        """The output of labels: the position of the largest number, or what stands for it."""
        file, labels = self._file, self._network.labels
        axis = self._constant("axis", np.array(1, np.int32))
        at = file.tensor(name, (-1,), "int64")
        file.operator(
            "ARG_MAX",
            (numbers, axis),
            at,
            version=2 if self._scale else 1,
            options="ArgMaxOptions",
            outputType=file.schema.TensorType.INT64,
        )
        if not labels or labels == tuple(range(len(labels))):
            return at
        file.rename(at, "position")
        found = file.tensor(name, (-1,), "int64")
        known = self._constant("labels", np.array(labels, np.int64))
        file.operator("GATHER", (known, at), found, version=1, options="GatherOptions", axis=0)
        return found

    def _scale_after(self, layer: Layer, after: Array) -> Scale | None:
        return None if self._scale is None else scales.of_output(layer, self._scale, after)

    def _padding(self, padding: Padding) -> int:
        found: int = getattr(self._file.schema.Padding, padding.upper())
        return found

    def _constant(self, name: str, data: Array, scale: Scale | None = None) -> int:
        return self._file.tensor(name, data.shape, data.dtype.name, scale=scale, data=data)

    def _tensor(self, name: str, values: Array, scale: Scale | None) -> int:
        dtype = "float32" if scale is None else "int8"
        return self._file.tensor(name, (-1, *values.shape[1:]), dtype, scale=scale)
