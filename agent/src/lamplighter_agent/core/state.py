"""What a device remembers of each model, and how an event changes it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Final

import msgspec

from lamplighter_agent.core.update import MAX_STARTS, RESTING, Effect, Event, State, step
from lamplighter_protocol.assignment import AssignedModel, Generation, Utc
from lamplighter_protocol.names import Count, Name, Release, Sha256
from lamplighter_protocol.reported import Active, Attempt, Failure, ModelReport, Shadowed
from lamplighter_protocol.trust import ModelPolicy, allows_release

#: The states in which the candidate answers requests.
SERVING: Final[frozenset[State]] = frozenset({"probation"})


class Installed(msgspec.Struct, frozen=True, kw_only=True):
    """A release whose files are in the store: all that is needed to start it without a network."""

    release: Release
    manifest_sha256: Sha256
    variant: Name
    files: dict[str, Sha256]
    """Digest by file name."""
    load_timeout_s: float
    memory_budget_mb: float = 512.0
    """What its worker may take, as signed."""
    since_utc: Utc

    def is_same(self, other: Installed) -> bool:
        """Whether it is the same form of the same release, whenever it came."""
        return (self.manifest_sha256, self.variant) == (other.manifest_sha256, other.variant)

    @property
    def blobs(self) -> frozenset[str]:
        """The digests of everything that must stay in the store."""
        return frozenset({self.manifest_sha256, *self.files.values()})


class AttemptState(msgspec.Struct, frozen=True, kw_only=True):
    """The newest update of a model, as it stands in the journal."""

    assigned: AssignedModel
    generation: Generation
    state: State
    started_utc: Utc
    starts: Count = 0
    """How often the candidate's worker was started for this attempt."""
    candidate: Installed | None = None
    """Known once both sides of trust have agreed."""
    failure: Failure | None = None
    timings_s: dict[str, float] = {}
    shadow: Shadowed | None = None
    """Known once its time in shadow is over."""


class ModelState(msgspec.Struct, frozen=True, kw_only=True):
    """One model on this device."""

    model: Name
    active: Installed | None = None
    """The committed release: it serves at once after every start."""
    previous: Installed | None = None
    """The release that was committed before; its files stay in the store."""
    attempt: AttemptState | None = None

    @property
    def state(self) -> State:
        """Where the update stands."""
        return self.attempt.state if self.attempt else "idle"

    @property
    def installed(self) -> tuple[Installed, ...]:
        """Every release whose files must stay."""
        candidate = self.attempt.candidate if self.attempt else None
        return tuple(item for item in (self.active, self.previous, candidate) if item)

    @property
    def serving(self) -> Installed | None:
        """The release that answers requests: the candidate through probation."""
        if self.attempt and self.attempt.state in SERVING and self.attempt.candidate:
            return self.attempt.candidate
        return self.active

    def report(self) -> ModelReport:
        """The model as the signed report shows it."""
        committed = self.serving is self.active
        back = self.previous if committed else self.active
        return ModelReport(
            model=self.model,
            active=_report_active(self.serving, committed=committed),
            previous=back.release if back else None,
            attempt=_report_attempt(self.attempt),
        )


def _report_active(serving: Installed | None, *, committed: bool) -> Active | None:
    if serving is None:
        return None
    return Active(
        release=serving.release,
        manifest_sha256=serving.manifest_sha256,
        variant=serving.variant,
        committed=committed,
        since_utc=serving.since_utc,
    )


def _report_attempt(attempt: AttemptState | None) -> Attempt | None:
    if attempt is None or attempt.state == "idle":
        return None
    return Attempt(
        release=attempt.assigned.release,
        generation=attempt.generation,
        phase=attempt.state,
        rollout=attempt.assigned.rollout,
        started_utc=attempt.started_utc,
        failure=attempt.failure,
        timings_s=attempt.timings_s,
        shadow=attempt.shadow,
    )


def protected(models: Iterable[ModelState]) -> frozenset[str]:
    """The digests that garbage collection must leave: of all that runs, may run, or comes."""
    keep: set[str] = set()
    for model in models:
        keep.update(*(item.blobs for item in model.installed))
        if model.attempt is not None:
            keep.add(model.attempt.assigned.manifest.sha256)
    return frozenset(keep)


def begin(
    model: ModelState, assigned: AssignedModel, generation: Generation, now_utc: datetime
) -> tuple[ModelState, tuple[Effect, ...]]:
    """Begin an attempt; what was known of the one before is forgotten."""
    outcome = step(model.state, "assigned")
    attempt = AttemptState(
        assigned=assigned, generation=generation, state=outcome.state, started_utc=now_utc
    )
    return msgspec.structs.replace(model, attempt=attempt), outcome.effects


def promote(
    model: ModelState, assigned: AssignedModel, generation: Generation, now_utc: datetime
) -> tuple[ModelState, tuple[Effect, ...]]:
    """Let the release in shadow become active: its attempt goes on under the new assignment."""
    renewed = _replace_attempt(model, assigned=assigned, generation=generation)
    return advance(renewed, "promoted", now_utc)


def advance(
    model: ModelState, event: Event, now_utc: datetime, failure: Failure | None = None
) -> tuple[ModelState, tuple[Effect, ...]]:
    """Apply an event other than `assigned` to the attempt of a model.

    Committing makes the candidate the active release and keeps the old one as previous.

    Args:
        model: The model as journalled; it has an attempt.
        event: What happened.
        now_utc: The best known time.
        failure: Why, for events that end an attempt badly.

    Returns:
        The state to journal, then the effects to perform.
    """
    attempt = model.attempt
    if attempt is None:
        raise ValueError(f"{model.model} has no attempt to which {event} could happen")
    outcome = step(attempt.state, event)
    attempt = msgspec.structs.replace(
        attempt, state=outcome.state, failure=failure or attempt.failure
    )
    if event == "probation-ok" and attempt.candidate is not None:
        committed = msgspec.structs.replace(attempt.candidate, since_utc=now_utc)
        done = msgspec.structs.replace(attempt, candidate=None)
        old = model.active
        # The same release installed again does not push the one to go back to out.
        previous = model.previous if old and old.release == committed.release else old
        kept = msgspec.structs.replace(model, active=committed, previous=previous, attempt=done)
        return kept, outcome.effects
    if event == "promoted":
        attempt = msgspec.structs.replace(attempt, starts=0, shadow=None)
    if outcome.state in {"failed", "rolled-back", "idle", "admitted"}:
        attempt = msgspec.structs.replace(attempt, candidate=None)
    return msgspec.structs.replace(model, attempt=attempt), outcome.effects


def agreed(model: ModelState, candidate: Installed) -> ModelState:
    """Note which files the attempt needs; both sides of trust have agreed on them."""
    return _replace_attempt(model, candidate=candidate)


def started(model: ModelState) -> ModelState:
    """Count one more start of the candidate, before it is started."""
    assert model.attempt is not None  # noqa: S101 - only attempts are started
    return _replace_attempt(model, starts=model.attempt.starts + 1)


def passed(model: ModelState) -> Event:
    """What a passed self-test leads to, by the mode in which the release is assigned."""
    in_shadow = model.attempt is not None and model.attempt.assigned.mode == "shadow"
    return "shadow-due" if in_shadow else "self-test-passed"


def shadowed(model: ModelState, shadow: Shadowed) -> ModelState:
    """Note what the candidate did in shadow; it came up, so its starts count anew."""
    return _replace_attempt(model, shadow=shadow, starts=0)


def timed(model: ModelState, step_name: str, seconds: float) -> ModelState:
    """Note how long a step took."""
    assert model.attempt is not None  # noqa: S101 - only attempts have steps
    timings_s = {**model.attempt.timings_s, step_name: round(seconds, 4)}
    return _replace_attempt(model, timings_s=timings_s)


def loops(model: ModelState) -> bool:
    """Whether the candidate was started too often already."""
    return model.attempt is not None and model.attempt.starts >= MAX_STARTS


def fall_back(model: ModelState, failure: Failure) -> ModelState:
    """Go from a committed release that keeps crashing to the one before.

    The generation that brought it counts as failed, so that it is not tried again. An attempt
    under way goes on.
    """
    attempt = model.attempt
    if attempt is not None and attempt.state in RESTING:
        attempt = msgspec.structs.replace(attempt, state="rolled-back", failure=failure)
    return msgspec.structs.replace(model, active=model.previous, previous=None, attempt=attempt)


def lose_files(model: ModelState) -> ModelState:
    """Go from a committed release whose stored files are damaged to the one before.

    Nothing has failed that a new fetch could not heal: the assignment is approached anew.
    """
    attempt = model.attempt
    if attempt is not None and attempt.state in RESTING:
        attempt = None
    return msgspec.structs.replace(model, active=model.previous, previous=None, attempt=attempt)


def without_forbidden(model: ModelState, policies: Mapping[str, ModelPolicy]) -> ModelState:
    """The model without a previous release that offline keys forbid to go back to."""
    previous = model.previous
    if previous is None or allows_release(policies, model.model, previous.release):
        return model
    return msgspec.structs.replace(model, previous=None)


def _replace_attempt(model: ModelState, **changes: object) -> ModelState:
    attempt = msgspec.structs.replace(model.attempt, **changes)  # type: ignore[type-var]
    return msgspec.structs.replace(model, attempt=attempt)
