"""The rows of a dataset as the tensors that a model file takes. Pure."""

import math
from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from lamplighter_protocol.bundle import TensorSpec
from lamplighter_protocol.errors import LamplighterError

Array = npt.NDArray[Any]

_DTYPES: Final = {
    "FP16": np.float16,
    "FP32": np.float32,
    "FP64": np.float64,
    "INT8": np.int8,
    "INT16": np.int16,
    "INT32": np.int32,
    "INT64": np.int64,
    "UINT8": np.uint8,
    "UINT16": np.uint16,
    "UINT32": np.uint32,
    "UINT64": np.uint64,
    "BOOL": np.bool_,
    "BYTES": np.str_,
}


def feed(
    inputs: Sequence[TensorSpec], features: Mapping[str, Array]
) -> tuple[dict[str, Array], dict[str, tuple[str, ...]]]:
    """Rows by tensor, and which features stand in a row of it (none for tensors and images).

    One input takes all features in the order of the dataset; more inputs take a feature of their
    own name each.

    Args:
        inputs: What the file takes; the first dimension is the batch.
        features: Columns of the dataset, first dimension the row.

    Raises:
        LamplighterError: MODEL_SIGNATURE_MISMATCH if the features do not fit.
    """
    tensors: dict[str, Array] = {}
    names: dict[str, tuple[str, ...]] = {}
    for spec in inputs:
        own = dict(features) if len(inputs) == 1 else {spec.name: features.get(spec.name)}
        if any(values is None for values in own.values()) or not own:
            raise _mismatch(spec, f"the dataset has no feature {spec.name!r}")
        columns = {name: np.asarray(values) for name, values in own.items()}
        flat = all(values.ndim == 1 for values in columns.values())
        if not flat and len(columns) > 1:
            raise _mismatch(spec, "the dataset has other features beside a tensor or image")
        rows = (
            np.column_stack([values.astype(object) for values in columns.values()])
            if flat
            else (next(iter(columns.values())))
        )
        tensors[spec.name] = _shaped(spec, rows)
        names[spec.name] = tuple(columns) if flat else ()
    return tensors, names


def _shaped(spec: TensorSpec, rows: Array) -> Array:
    wanted, width = spec.shape[1:], math.prod(rows.shape[1:])
    fixed = math.prod(size for size in wanted if size != -1)
    if (fixed != width) if -1 not in wanted else (wanted.count(-1) > 1 or width % fixed):
        raise _mismatch(spec, f"the dataset has {width} values in a row")
    try:
        if spec.datatype == "BYTES":
            rows = np.where(rows == None, "", rows)  # noqa: E711 - by element
        made: Array = rows.astype(_DTYPES[spec.datatype])
        if made.dtype.kind in "iub" and not (made == rows).all():
            raise ValueError("not all are whole numbers of that size")
        return made.reshape(len(rows), *wanted)
    except (TypeError, ValueError, OverflowError) as error:
        raise _mismatch(spec, f"the dataset holds other values ({error})") from error


def _mismatch(spec: TensorSpec, why: str) -> LamplighterError:
    return LamplighterError(
        "MODEL_SIGNATURE_MISMATCH",
        f"The input {spec.name!r} takes {spec.datatype} of {list(spec.shape)}, but {why}.",
    )
