"""What was measured and judged, as `evidence.json` keeps it: no NaN, no infinity."""

from typing import Any, Literal

import msgspec

from lamplighter_server.validation.predictions import Task

Outcome = Literal["passed", "failed", "unknown"]


class Estimate(msgspec.Struct, frozen=True, kw_only=True):
    """A figure with its interval; None is what cannot be known, never 0."""

    value: float | None = None
    low: float | None = None
    high: float | None = None
    why: str = ""
    """Why something is not known."""


class CalibrationBin(msgspec.Struct, frozen=True, kw_only=True):
    """Rows of similar confidence."""

    rows: int
    confidence: float
    """The mean probability of the given class."""
    accuracy: float
    """The share of rows whose class was right."""


class Group(msgspec.Struct, frozen=True, kw_only=True):
    """The rows that have one value of a sensitive column."""

    name: str
    rows: int
    metrics: dict[str, Estimate]


class Disparity(msgspec.Struct, frozen=True, kw_only=True):
    """How far the groups of a sensitive column are apart."""

    positive: str
    """The class that is given or refused; empty for a regression."""
    figures: dict[str, Estimate]


class Fairness(msgspec.Struct, frozen=True, kw_only=True):
    """One sensitive column."""

    groups: tuple[Group, ...]
    disparities: tuple[Disparity, ...]


class Measured(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that was measured on the held-out rows."""

    task: Task
    rows: int
    seed: int
    resamples: int
    level: float
    """The confidence of every interval, such as 0.95: each end errs in half of the rest."""
    classes: tuple[str, ...]
    metrics: dict[str, Estimate]
    confusion: tuple[tuple[int, ...], ...] = ()
    """Rows by true class, then by the class that was given."""
    calibration: tuple[CalibrationBin, ...] = ()
    fairness: dict[str, Fairness] = {}


class GateResult(msgspec.Struct, frozen=True, kw_only=True):
    """What one gate says. Only `passed` is a yes."""

    gate: str
    outcome: Outcome
    sentence: str


class Override(msgspec.Struct, frozen=True, kw_only=True):
    """A person's decision to publish in spite of gates."""

    person: str
    reason: str
    approved_by: str | None = None
    """Who else agreed, where four eyes are demanded."""


class Judged(msgspec.Struct, frozen=True, kw_only=True):
    """What publication asks of the evidence."""

    gates: tuple[GateResult, ...] = ()
    override: Override | None = None

    @property
    def not_passed(self) -> tuple[GateResult, ...]:
        """The gates that stand in the way."""
        return tuple(result for result in self.gates if result.outcome != "passed")


class Validation(Judged, frozen=True, kw_only=True):
    """The part `validation` of `evidence.json`."""

    measured: Measured


class Evidence(msgspec.Struct, frozen=True, kw_only=True):
    """What of `evidence.json` a model card tells; the rest is not looked at."""

    model: str
    release: int | None = None
    """None for predictions of what is no release yet."""
    bundle_sha256: str = ""
    created_utc: str = ""
    variants: dict[str, dict[str, Any]] = {}
    """What was measured of each: `size_bytes`, `accuracy` and more."""
    validation: Validation | None = None

    @property
    def title(self) -> str:
        """As it is called."""
        return self.model if self.release is None else f"{self.model}@{self.release}"
