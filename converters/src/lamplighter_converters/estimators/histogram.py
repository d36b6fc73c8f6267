"""Histogram gradient boosting, which the converter writes in numbers that onnx refuses."""

from typing import Any

import numpy as np
from skl2onnx import get_model_alias
from skl2onnx.common._registration import get_converter

from lamplighter_protocol.errors import LamplighterError


def prepare_histogram(estimator: Any, *, scaled: bool) -> None:  # noqa: ANN401 - no public base
    """Make a copy of such an estimator convert right; it is changed in place.

    Where x is float32, x <= t and x <= (the largest float32 not above t) are the same. Where x was
    scaled in float64, it is rounded before it is compared, and so must t be: x = t stays x = t.

    Args:
        estimator: A fitted one.
        scaled: Whether its input is the result of arithmetic in float64.

    Raises:
        LamplighterError: CONVERSION_REFUSED if a tree splits on categories.
    """
    for trees in estimator._predictors:  # noqa: SLF001 - the converter reads nothing else
        for tree in trees:
            if tree.nodes["is_categorical"].any():
                raise LamplighterError(
                    "CONVERSION_REFUSED", "ONNX trees do not split on categories; encode them."
                )
            thresholds = tree.nodes["num_threshold"]
            tree.nodes["num_threshold"] = (
                thresholds.astype(np.float32) if scaled else at_most_float32(thresholds)
            )
    convert = get_converter(get_model_alias(type(estimator)))
    # The converter asks the model itself first: its documented way for models of others.
    estimator.onnx_converter = lambda: (
        lambda scope, operator, container: convert(scope, operator, _PlainNumbers(container))
    )


def at_most_float32(values: Any) -> Any:  # noqa: ANN401 - a float array
    """The largest float32 that is not above each value."""
    with np.errstate(over="ignore"):
        near = values.astype(np.float32)
    return np.where(near > values, np.nextafter(near, np.float32(-np.inf)), near)


class _PlainNumbers:
    """The converter's container, with every integer of an attribute as Python's int.

    Attributes come as numpy.uint32 and bool; onnx takes neither.
    """

    def __init__(self, container: Any) -> None:  # noqa: ANN401 - the library has no types
        self._container = container

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401
        return getattr(self._container, name)

    def add_node(self, *positional: Any, **named: Any) -> None:  # noqa: ANN401
        self._container.add_node(
            *positional, **{name: _plain(value) for name, value in named.items()}
        )


def _plain(value: Any) -> Any:  # noqa: ANN401
    if isinstance(value, list):
        return [int(item) if isinstance(item, (bool, np.integer)) else item for item in value]
    return value
