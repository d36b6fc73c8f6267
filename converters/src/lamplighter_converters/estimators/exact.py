"""Scaling in float64, as scikit-learn does it, where trees follow.

The converter scales in float32. A row that lies on the border of a split, as many do in data of
two decimals, then goes the other way.
"""

from typing import Any

import numpy as np
from onnx import TensorProto
from skl2onnx.operator_converters.common import concatenate_variables
from sklearn.preprocessing import MaxAbsScaler, MinMaxScaler, RobustScaler, StandardScaler

SCALERS = (StandardScaler, RobustScaler, MinMaxScaler, MaxAbsScaler)


def prepare_scaler(scaler: Any) -> None:  # noqa: ANN401 - one of SCALERS
    """Make a fitted scaler convert to arithmetic in float64; it is changed in place."""
    scaler.onnx_converter = lambda: _convert


def _convert(scope: Any, operator: Any, container: Any) -> None:  # noqa: ANN401 - untyped library
    now = scope.get_unique_variable_name("scaled")
    rows = concatenate_variables(scope, operator.inputs, container)
    container.add_node("Cast", [rows], [now], to=TensorProto.DOUBLE)
    for kind, values in _steps(operator.raw_operator):
        constant, after = (scope.get_unique_variable_name(name) for name in ("by", "scaled"))
        container.add_initializer(constant, TensorProto.DOUBLE, [1, len(values)], values.tolist())
        container.add_node(kind, [now, constant], [after])
        now = after
    container.add_node("Cast", [now], [operator.outputs[0].full_name], to=TensorProto.FLOAT)


def _steps(scaler: Any) -> list[tuple[str, np.ndarray[Any, Any]]]:  # noqa: ANN401
    """The operations in their order, each with one number for each column."""
    if isinstance(scaler, MinMaxScaler):
        steps = [("Mul", scaler.scale_), ("Add", scaler.min_)]
        low, high = (np.full(len(scaler.scale_), end, float) for end in scaler.feature_range)
        return [*steps, ("Max", low), ("Min", high)] if scaler.clip else steps
    center = getattr(scaler, "mean_" if isinstance(scaler, StandardScaler) else "center_", None)
    if isinstance(scaler, StandardScaler) and not scaler.with_mean:
        center = None
    found = [("Sub", center), ("Div", scaler.scale_)]
    return [(kind, values) for kind, values in found if values is not None]
