"""What is known about the variants of a model: the certificate that is signed, and the report.

The certificate holds what comes out the same every time and goes into the manifest. The report
adds what was measured on one machine (times) and what was left out; it goes into `evidence.json`.
"""

from importlib import metadata
from typing import Any, Final

import msgspec
from sklearn.base import BaseEstimator
from sklearn.pipeline import Pipeline

from lamplighter_converters.estimators.task import Task
from lamplighter_converters.parity.compare import Parity, Tolerance
from lamplighter_converters.quantize.choose import Choice, Recipe
from lamplighter_protocol.bundle import ParityCertificate, Runtime, VariantParity
from lamplighter_protocol.canonical import sha256

_PACKAGES: Final = ("scikit-learn", "skl2onnx", "onnx", "onnxruntime", "numpy")


class ReportedVariant(msgspec.Struct, frozen=True, kw_only=True):
    """One file that may be shipped."""

    name: str
    runtime: Runtime
    recipe: Recipe
    sha256: str
    size_bytes: int
    parity: Parity
    """Against the estimator."""
    tolerance: Tolerance
    """What was declared for `parity`, and is kept."""


class LeftOut(msgspec.Struct, frozen=True, kw_only=True):
    """A variant that is not shipped, and why."""

    name: str
    code: str
    reason: str


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """What was compared with what, on which rows, and what came out."""

    estimator: str
    task: Task
    rows: int
    rows_sha256: str
    variants: tuple[ReportedVariant, ...]
    left_out: tuple[LeftOut, ...]
    choices: dict[Runtime, Choice]
    """Where the recipe was measured and not given."""
    versions: dict[str, str]

    def certificate(self) -> ParityCertificate:
        """What is signed of it."""
        return ParityCertificate(
            estimator=self.estimator,
            rows=self.rows,
            rows_sha256=self.rows_sha256,
            variants=tuple(
                VariantParity(
                    variant=one.name,
                    recipe=one.recipe,
                    agreement=one.parity.agreement,
                    max_error=one.parity.max_error,
                    flips=one.parity.flips,
                )
                for one in self.variants
            ),
        )


def report_variant(
    name: str, runtime: Runtime, recipe: Recipe, raw: bytes, *, parity: Parity, tolerance: Tolerance
) -> ReportedVariant:
    """A variant that was compared and lies within its tolerance."""
    return ReportedVariant(
        name=name,
        runtime=runtime,
        recipe=recipe,
        sha256=sha256(raw),
        size_bytes=len(raw),
        parity=parity,
        tolerance=tolerance,
    )


def describe_estimator(estimator: BaseEstimator) -> str:
    """The classes of an estimator and its steps, without parameters."""
    if isinstance(estimator, Pipeline):
        steps: list[Any] = [step for _, step in estimator.steps]
        return " > ".join(type(step).__name__ for step in steps)
    return type(estimator).__name__


def versions() -> dict[str, str]:
    """What made and compared the variants."""
    return {package: metadata.version(package) for package in _PACKAGES}
