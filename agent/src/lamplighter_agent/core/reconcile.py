"""From an accepted assignment and what is here to the steps in between: level-triggered."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from lamplighter_agent.core.state import AttemptState, Installed, ModelState
from lamplighter_agent.core.update import RESTING
from lamplighter_protocol.assignment import AssignedModel, Assignment, Generation


@dataclass(frozen=True)
class Start:
    """Begin an attempt."""

    assigned: AssignedModel
    generation: Generation


@dataclass(frozen=True)
class Supersede:
    """End the attempt under way; what follows is decided when it has ended."""

    model: str


@dataclass(frozen=True)
class Promote:
    """Let the release that runs in shadow go on as the active one."""

    assigned: AssignedModel
    generation: Generation


@dataclass(frozen=True)
class Remove:
    """The device shall not have this model any more."""

    model: str


Step = Start | Supersede | Promote | Remove


def reconcile(
    assignment: Assignment, models: Mapping[str, ModelState], now_utc: datetime
) -> tuple[Step, ...]:
    """Decide what to do; running it again on the outcome gives nothing more.

    A generation that failed here is not tried again. What is already there is success.

    Args:
        assignment: The newest accepted one.
        models: What the journal holds, by model name.
        now_utc: The best known time; a model whose `not_before_utc` is to come is left alone.
    """
    # What shall answer comes before what shall run in its shadow.
    in_order = sorted(assignment.models, key=lambda item: item.mode == "shadow")
    wanted: dict[str, list[AssignedModel]] = {}
    for item in in_order:
        wanted.setdefault(item.model, []).append(item)
    removed: list[Step] = [_leave(models[name]) for name in models if name not in wanted]
    steps = (
        _approach(items, assignment.generation, models.get(name, ModelState(model=name)), now_utc)
        for name, items in wanted.items()
    )
    return (*removed, *(one for one in steps if one is not None))


def _leave(model: ModelState) -> Step:
    return Remove(model.model) if model.state in RESTING else Supersede(model.model)


def _approach(
    wanted: Sequence[AssignedModel], generation: Generation, model: ModelState, now_utc: datetime
) -> Step | None:
    due = next((item for item in wanted if not _is_there(item, model.active)), None)
    attempt = model.attempt
    if attempt is not None and attempt.state not in RESTING:
        return _redirect(attempt, due, generation)
    if attempt is not None and attempt.generation == generation and attempt.failure is not None:
        return None
    if due is None or now_utc < due.not_before_utc:
        return None
    return Start(due, generation)


def _redirect(
    attempt: AttemptState, due: AssignedModel | None, generation: Generation
) -> Step | None:
    """Whether the attempt under way leads to what is due."""
    if attempt.state == "rolling-back":  # it is on its way to rest already
        return None
    if due is None or not _is_same(due, attempt.assigned):
        return Supersede(attempt.assigned.model)
    if due.mode == attempt.assigned.mode:
        return None
    if attempt.state == "shadowing":
        return Promote(due, generation)
    return Supersede(attempt.assigned.model)


def _is_there(wanted: AssignedModel, active: Installed | None) -> bool:
    """Whether it answers already: what does so needs no shadow of itself."""
    return active is not None and (wanted.release, wanted.manifest.sha256, wanted.variant) == (
        active.release,
        active.manifest_sha256,
        active.variant,
    )


def _is_same(a: AssignedModel, b: AssignedModel) -> bool:
    return (a.release, a.manifest.sha256, a.variant) == (b.release, b.manifest.sha256, b.variant)
