"""int8 with scales found on calibration rows: weights and activations, as QDQ pairs."""

import logging
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import onnx
import onnxruntime
from onnxruntime.quantization import CalibrationDataReader, quantize_dynamic, quantize_static

from lamplighter_converters.onnx_bytes import canonical_bytes, parse
from lamplighter_converters.quantize.calibration import spread
from lamplighter_converters.quantize.lower import lower
from lamplighter_protocol.errors import LamplighterError

Array = npt.NDArray[Any]

_BATCH_ROWS: Final = 50
#: Severities of the runtime's log.
_WARNING, _ERROR = 2, 3
_PRODUCTS: Final = frozenset({"MatMul", "Gemm", "Conv"})


def to_int8(raw: bytes, calibration: Mapping[str, Array], *, per_channel: bool = False) -> bytes:
    """Quantize with fixed scales: the answer to a row does not depend on its companions.

    Args:
        raw: A float ONNX model; it is not changed. Linear models are lowered first.
        calibration: Typical rows by input tensor; those that miss no value and are finite
            are used, at most CALIBRATION_ROWS.
        per_channel: Whether each column of a weight has a scale of its own.

    Raises:
        LamplighterError: CONVERSION_REFUSED with the reason.
    """
    complete = _complete(calibration)
    return _quantize(
        raw,
        lambda source, target: quantize_static(
            source,
            target,
            _Rows(complete),
            op_types_to_quantize=[*sorted(_PRODUCTS), "Add"],
            per_channel=per_channel,
        ),
    )


def to_dynamic_int8(raw: bytes) -> bytes:
    """Quantize weights now and activations while the model runs, by the largest of each batch.

    Raises:
        LamplighterError: CONVERSION_REFUSED with the reason.
    """
    return _quantize(
        raw,
        lambda source, target: quantize_dynamic(
            source,
            target,
            op_types_to_quantize=sorted(_PRODUCTS),
            # Of what operators of the other domain give, the quantizer knows no type.
            extra_options={"DefaultTensorType": onnx.TensorProto.FLOAT},
        ),
    )


def _quantize(raw: bytes, quantize: Callable[[Path, Path], None]) -> bytes:
    lowered = lower(raw)
    operators = {node.op_type for node in parse(lowered).graph.node}
    if not operators & _PRODUCTS:
        has_trees = any(name.startswith("TreeEnsemble") for name in operators)
        reason = (
            "Trees stay float: they compare, and int8 would move their thresholds."
            if has_trees
            else "The graph holds no matrix product that int8 could shrink."
        )
        raise LamplighterError("CONVERSION_REFUSED", reason)
    with tempfile.TemporaryDirectory() as folder, _quiet():
        source, target = Path(folder, "float.onnx"), Path(folder, "int8.onnx")
        source.write_bytes(lowered)
        try:
            quantize(source, target)
        except Exception as error:  # the errors of quantizer and runtime have no common root
            raise LamplighterError(
                "CONVERSION_REFUSED", f"The graph cannot be quantized: {error}."
            ) from error
        return canonical_bytes(onnx.load(target))


def _complete(calibration: Mapping[str, Array]) -> dict[str, Array]:
    lengths = {len(rows) for rows in calibration.values()}
    kept = np.ones(min(lengths, default=0), bool)
    if len(lengths) == 1:
        for rows in calibration.values():
            if rows.dtype.kind == "f":
                kept &= np.isfinite(rows).all(axis=tuple(range(1, rows.ndim)))
    if len(lengths) != 1 or not kept.any():
        raise LamplighterError("CONVERSION_REFUSED", "Calibration needs rows that are finite.")
    chosen = np.flatnonzero(kept)[spread(int(kept.sum()))]
    return {name: rows[chosen] for name, rows in calibration.items()}


class _Rows(CalibrationDataReader):  # type: ignore[misc] # the library has no types
    def __init__(self, rows: Mapping[str, Array]) -> None:
        starts = range(0, min(map(len, rows.values())), _BATCH_ROWS)
        self._batches = iter(
            [
                {name: values[at : at + _BATCH_ROWS] for name, values in rows.items()}
                for at in starts
            ]
        )

    def get_next(self) -> dict[str, Array] | None:
        return next(self._batches, None)


@contextmanager
def _quiet() -> Iterator[None]:
    """The quantizer advises on the root logger and its sessions on the runtime's, every time."""
    root = logging.getLogger()
    level = root.level
    root.setLevel(logging.ERROR)
    onnxruntime.set_default_logger_severity(_ERROR)
    try:
        yield
    finally:
        root.setLevel(level)
        onnxruntime.set_default_logger_severity(_WARNING)
