"""The parity certificate: every variant of a model against the estimator, with what was left out.

It is of its time (latency) and therefore belongs into `evidence.json`, which names the bundle.
"""

from importlib import metadata
from typing import Any, Final

import msgspec
from sklearn.base import BaseEstimator
from sklearn.pipeline import Pipeline

from lamplighter_converters.estimators.task import Task
from lamplighter_converters.parity.compare import Parity, Tolerance
from lamplighter_protocol.bundle import Runtime
from lamplighter_protocol.canonical import encode

_PACKAGES: Final = ("scikit-learn", "skl2onnx", "onnx", "onnxruntime", "numpy")


class CertifiedVariant(msgspec.Struct, frozen=True, kw_only=True):
    """One file that may be shipped."""

    name: str
    runtime: Runtime
    recipe: str
    sha256: str
    size_bytes: int
    latency_ratio: float | None
    """Time for one row / time of the float ONNX model in the same run; None for that model."""
    to_estimator: Parity
    to_float: Parity | None
    """Against the float ONNX model; None for that model."""
    tolerance: Tolerance
    """What was declared for `to_estimator`, and is kept."""


class LeftOut(msgspec.Struct, frozen=True, kw_only=True):
    """A variant that is not shipped, and why."""

    name: str
    code: str
    reason: str


class Certificate(msgspec.Struct, frozen=True, kw_only=True):
    """What was compared with what, on which rows, and what came out."""

    estimator: str
    task: Task
    rows: int
    rows_sha256: str
    """Of the golden-file form of the rows that were asked."""
    variants: tuple[CertifiedVariant, ...]
    left_out: tuple[LeftOut, ...]
    machine: str
    versions: dict[str, str]

    def encoded(self) -> bytes:
        """Its canonical bytes (RFC 8785)."""
        return encode(self)


def describe_estimator(estimator: BaseEstimator) -> str:
    """The classes of an estimator and its steps, without parameters."""
    if isinstance(estimator, Pipeline):
        steps: list[Any] = [step for _, step in estimator.steps]
        return " > ".join(type(step).__name__ for step in steps)
    return type(estimator).__name__


def versions() -> dict[str, str]:
    """What made and compared the variants."""
    return {package: metadata.version(package) for package in _PACKAGES}
