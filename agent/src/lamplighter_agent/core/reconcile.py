"""From an accepted assignment and what is here to the steps in between: level-triggered."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from lamplighter_agent.core.state import ModelState
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
class Remove:
    """The device shall not have this model any more."""

    model: str


Step = Start | Supersede | Remove


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
    wanted = {item.model: item for item in assignment.models}
    removed: list[Step] = [_leave(models[name]) for name in models if name not in wanted]
    steps = (
        _approach(item, assignment.generation, models.get(name, ModelState(model=name)), now_utc)
        for name, item in wanted.items()
    )
    return (*removed, *(one for one in steps if one is not None))


def _leave(model: ModelState) -> Step:
    return Remove(model.model) if model.state in RESTING else Supersede(model.model)


def _approach(
    wanted: AssignedModel, generation: Generation, model: ModelState, now_utc: datetime
) -> Step | None:
    attempt = model.attempt
    if attempt is not None and attempt.state not in RESTING:
        # rolling-back cannot be cut short: it is on its way to rest already.
        same = _is_same(wanted, attempt.assigned) or attempt.state == "rolling-back"
        return None if same else Supersede(model.model)
    if attempt is not None and attempt.generation == generation and attempt.failure is not None:
        return None
    active = model.active
    there = active is not None and (wanted.release, wanted.manifest.sha256, wanted.variant) == (
        active.release,
        active.manifest_sha256,
        active.variant,
    )
    if (there and wanted.mode == "active") or now_utc < wanted.not_before_utc:
        return None
    return Start(wanted, generation)


def _is_same(a: AssignedModel, b: AssignedModel) -> bool:
    return (a.release, a.manifest.sha256, a.variant, a.mode) == (
        b.release,
        b.manifest.sha256,
        b.variant,
        b.mode,
    )
