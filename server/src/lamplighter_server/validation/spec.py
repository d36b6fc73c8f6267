"""Which gates a person declares: the section `gates:` of an experiment file. Pure."""

from collections.abc import Collection, Iterator, Mapping
from typing import Annotated, Final, Literal

import msgspec

from lamplighter_protocol.errors import LamplighterError
from lamplighter_server.validation.fairness import FIGURES, MIN_GROUP_ROWS, require_fairlearn
from lamplighter_server.validation.predictions import Task

By = Literal["bound", "value"]
"""What must keep to a limit: the unfavourable end of the interval, or the figure alone.

The bound is the default: rows are a sample, and a model just at the limit passes by its value in
every second sample. By the bound, one that does not deserve it passes in 2.5 % of them at most.
"""

#: Figures of a task, each with whether more is better.
METRICS: Final[Mapping[Task, Mapping[str, bool]]] = {
    "classification": {
        "accuracy": True,
        "balanced_accuracy": True,
        "precision": True,
        "f1": True,
        "auroc": True,
        "log_loss": False,
        "brier": False,
        "calibration_error": False,
    },
    "regression": {
        "mae": False,
        "rmse": False,
        "r2": True,
        "error_p50": False,
        "error_p90": False,
        "error_p99": False,
    },
}
#: Figures that each class has for itself; `balanced_accuracy` is the mean of `recall`.
OF_CLASS: Final = ("precision", "recall", "f1", "auroc")
#: Figures that are compared on the same rows.
PAIRED: Final[Mapping[Task, tuple[str, ...]]] = {
    "classification": ("accuracy", "balanced_accuracy", "f1", "auroc", "log_loss", "brier"),
    "regression": ("mae", "rmse"),
}


class _Strict(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is misspelt is refused."""


class Limit(_Strict, frozen=True, kw_only=True):
    """At least, or at most."""

    min: float | None = None
    max: float | None = None
    by: By = "bound"

    def __post_init__(self) -> None:
        if (self.min is None) == (self.max is None):
            raise ValueError("give either min or max")


class Groups(_Strict, frozen=True, kw_only=True):
    """Limits on how far the groups of a sensitive column may be apart."""

    demographic_parity_difference: Limit | None = None
    demographic_parity_ratio: Limit | None = None
    equalized_odds_difference: Limit | None = None
    equalized_odds_ratio: Limit | None = None
    mae_difference: Limit | None = None
    mae_ratio: Limit | None = None
    positive: str | None = None
    """The class that is given or refused; of two the second, of more each in turn, if None."""
    min_group_rows: Annotated[int, msgspec.Meta(ge=MIN_GROUP_ROWS)] = MIN_GROUP_ROWS
    """With a smaller group the gate is unknown."""

    def __post_init__(self) -> None:
        if not any(self.limits):
            raise ValueError("give a limit; without one nothing is judged")

    @property
    def limits(self) -> Iterator[tuple[str, Limit]]:
        """What is declared."""
        for name in (figure for figures in FIGURES.values() for figure in figures):
            if (limit := getattr(self, name)) is not None:
                yield name, limit


class Margin(_Strict, frozen=True, kw_only=True):
    """How much worse than the incumbent a figure may be, on the same rows."""

    max_loss: Annotated[float, msgspec.Meta(ge=0)]
    """In the unit of the figure. 0 by the bound demands that the candidate is shown to be better.
    """
    by: By = "bound"


class Gates(_Strict, frozen=True, kw_only=True):
    """Everything that a candidate must pass."""

    metrics: dict[str, Limit] = {}
    fairness: dict[str, Groups] = {}
    incumbent: dict[str, Margin] = {}
    max_size_bytes: Annotated[int, msgspec.Meta(ge=1)] | None = None
    max_latency_ms: Annotated[float, msgspec.Meta(gt=0)] | None = None


def read_gates(section: object) -> Gates:
    """Read the section.

    Args:
        section: Of a YAML file, as plain Python objects.

    Raises:
        LamplighterError: GATES_INVALID with the place that is wrong.
    """
    try:
        return msgspec.convert(section, Gates)
    except (msgspec.ValidationError, ValueError) as error:
        raise LamplighterError("GATES_INVALID", f"The gates cannot be read: {error}.") from error


def check_gates(
    gates: Gates, task: Task, classes: Collection[str], groups: Collection[str]
) -> None:
    """Find out before the training that a gate could only ever be unknown.

    Args:
        gates: What is declared.
        task: Of the model.
        classes: Its classes; none for a regression.
        groups: The sensitive columns that there are.

    Raises:
        LamplighterError: GATES_INVALID, or EXTRA_MISSING.
    """
    if groups:
        require_fairlearn()
    known = {*METRICS[task], *(f"{figure}/{name}" for figure in OF_CLASS for name in classes)}
    for name in gates.metrics:
        _check(name, known, "figure of this task")
    for name in gates.incumbent:
        _check(name, PAIRED[task], "figure that is compared with the incumbent")
    for column, limits in gates.fairness.items():
        _check(column, groups, "sensitive column")
        if limits.positive is not None:
            _check(limits.positive, classes, "class")
        for name, _ in limits.limits:
            _check(name, FIGURES[task], "figure of groups for this task")


def _check(name: str, known: Collection[str], what: str) -> None:
    if name not in known:
        there = ", ".join(sorted(known)[:20]) or "none"
        raise LamplighterError("GATES_INVALID", f"{name!r} is no {what}; there is {there}.")
