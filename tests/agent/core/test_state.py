from datetime import datetime, timedelta, timezone

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from lamplighter_agent.core import state as model_state
from lamplighter_agent.core.reconcile import Promote, Remove, Start, Supersede, reconcile
from lamplighter_agent.core.state import AttemptState, Installed, ModelState
from lamplighter_agent.core.update import (
    MAX_STARTS,
    RESTING,
    STATES,
    YIELDS,
    Effect,
    Event,
    State,
    possible,
)
from lamplighter_protocol.assignment import AssignedModel, Assignment, Generation, Mode
from lamplighter_protocol.blobs import describe
from lamplighter_protocol.reported import Failure, Shadowed
from lamplighter_protocol.trust import ModelPolicy

NOW = datetime(2026, 11, 23, tzinfo=timezone.utc)
BAD = frozenset(
    {"refused", "load-failed", "self-test-failed", "worker-lost", "verdict-bad", "looped"}
)


def assigned(release: int, mode: Mode = "active") -> AssignedModel:
    return AssignedModel(
        model="digits",
        release=release,
        manifest=describe(b"manifest %d" % release),
        variant="onnx-fp32",
        mode=mode,
        not_before_utc=NOW,
        deadline_utc=NOW + timedelta(hours=1),
    )


def installed(release: int) -> Installed:
    return Installed(
        release=release,
        manifest_sha256=describe(b"manifest %d" % release).sha256,
        variant="onnx-fp32",
        files={"model.onnx": describe(b"model %d" % release).sha256},
        load_timeout_s=1,
        since_utc=NOW,
    )


SHADOWED = Shadowed(seconds=60, requests=9, compared=9, disagreed=1, missed=0)


class Device(RuleBasedStateMachine):
    """A device whose effects end as they like, that restarts and gets assignments at any time."""

    @initialize()
    def begin(self) -> None:
        self.model = self.before = ModelState(model="digits")
        self.effects: tuple[Effect, ...] = ()
        self.counter = 0
        self.wanted = 0
        self.in_shadow: int | None = None
        self.committed_ever = False
        self.failed: set[int] = set()
        self.restarts_of_attempt = 0

    def journal(self, model: ModelState) -> None:
        """Remember a change; the one before is kept."""
        self.before, self.model = self.model, model

    def follow(self) -> None:
        """Reconcile until it has nothing more to say."""
        assignment = Assignment(
            device="pi-1",
            fleet="main",
            generation=Generation(1, self.counter),
            issued_utc=NOW,
            expires_utc=NOW + timedelta(days=1),
            window_s=60,
            models=(
                assigned(self.wanted),
                *(assigned(release, "shadow") for release in [self.in_shadow] if release),
            ),
        )
        while True:
            steps = reconcile(assignment, {"digits": self.model}, NOW)
            if not steps:
                return
            (step,) = steps
            assert not isinstance(step, Remove)
            if isinstance(step, Start):
                assert step.generation.counter not in self.failed
                self.restarts_of_attempt = 0
                model, self.effects = model_state.begin(
                    self.model, step.assigned, step.generation, NOW
                )
                self.journal(model)
                return
            if isinstance(step, Promote):
                assert self.model.state == "shadowing"
                model, self.effects = model_state.promote(
                    self.model, step.assigned, step.generation, NOW
                )
                self.journal(model)
                return
            assert isinstance(step, Supersede)
            self.apply("superseded", None)
            if self.model.state not in RESTING:
                return

    def apply(self, event: Event, failure: Failure | None) -> None:
        model, self.effects = model_state.advance(self.model, event, NOW, failure)
        self.journal(model)
        if event == "probation-ok":
            self.committed_ever = True
        if self.model.state in {"failed", "rolled-back"} and failure is not None:
            attempt = self.model.attempt
            assert attempt is not None
            self.failed.add(attempt.generation.counter)

    @rule(release=st.integers(1, 4), in_shadow=st.none() | st.integers(1, 4))
    def a_newer_assignment_comes(self, release: int, in_shadow: int | None) -> None:
        self.counter += 1
        self.wanted, self.in_shadow = release, in_shadow
        self.follow()

    @precondition(lambda self: self.counter > 0)
    @rule()
    def the_assignment_is_delivered_again(self) -> None:
        self.follow()

    @precondition(lambda self: bool(self.effects and YIELDS[self.effects[-1]]))
    @rule(data=st.data())
    def an_effect_ends(self, data: st.DataObject) -> None:
        effect = self.effects[-1]
        if effect == "load":
            if model_state.loops(self.model):
                self.apply("looped", Failure(code="UPDATE_LOOP", sentence=""))
                return
            self.journal(model_state.started(self.model))
        other = {"self-test-passed", "shadow-due"} - {model_state.passed(self.model)}
        endings = sorted(YIELDS[effect] - {"looped"} - other)
        event = data.draw(st.sampled_from(endings))
        if event == "trust-agreed":
            assert self.model.attempt is not None
            release = self.model.attempt.assigned.release
            self.journal(model_state.agreed(self.model, installed(release)))
        if event == "shadow-ok":
            self.journal(model_state.shadowed(self.model, SHADOWED))
        failure = Failure(code="WORKER_CRASHED", sentence="") if event in BAD else None
        self.apply(event, failure)
        if not self.effects or not YIELDS[self.effects[-1]]:
            self.follow()

    @precondition(lambda self: self.model.attempt is not None)
    @rule()
    def the_power_is_cut(self) -> None:
        """Only the journal survives."""
        self.restarts_of_attempt += 1
        self.apply("interrupted", None)

    @rule()
    def the_newest_journal_is_damaged(self) -> None:
        """The device starts from the one before: one step back is a state like any other."""
        self.model = self.before
        attempt = self.model.attempt
        self.committed_ever = self.model.active is not None
        if attempt is None:
            self.effects = ()
        else:
            if attempt.failure is None:
                self.failed.discard(attempt.generation.counter)
            self.apply("interrupted", None)
        if self.counter > 0 and self.model.state in RESTING:
            self.follow()

    @precondition(lambda self: self.model.active is not None and self.model.previous is not None)
    @rule()
    def the_committed_release_keeps_crashing(self) -> None:
        failure = Failure(code="WORKER_CRASHED", sentence="")
        self.journal(model_state.fall_back(self.model, failure))

    @invariant()
    def what_was_committed_is_not_left_without_a_release(self) -> None:
        if self.committed_ever:
            assert self.model.active is not None

    @invariant()
    def an_attempt_is_at_rest_or_on_its_way(self) -> None:
        going_on = bool(self.effects and YIELDS[self.effects[-1]])
        assert going_on == (self.model.state not in RESTING)

    @invariant()
    def a_shadow_runs_only_beside_what_answers(self) -> None:
        if self.model.state == "shadowing":
            assert self.model.attempt is not None
            assert self.model.attempt.assigned.mode == "shadow"
            report = self.model.report()
            assert report.active is None or report.active.committed

    @invariant()
    def the_report_tells_the_same(self) -> None:
        report = self.model.report()
        if report.active is not None and report.active.committed:
            assert self.model.active is not None
            assert report.active.release == self.model.active.release
        assert (report.attempt is None) == (self.model.state == "idle")

    @invariant()
    def garbage_collection_leaves_what_runs_or_comes(self) -> None:
        keep = model_state.protected([ModelState(model="another"), self.model])
        attempt = self.model.attempt
        candidate = attempt.candidate if attempt else None
        for item in (self.model.active, self.model.previous, candidate):
            assert item is None or item.blobs <= keep
        if self.model.state not in RESTING:
            assert attempt is not None
            assert attempt.assigned.manifest.sha256 in keep
        assert len(keep) <= 2 * 3 + 1

    @invariant()
    def starts_are_bounded(self) -> None:
        if self.model.attempt is not None:
            assert self.model.attempt.starts <= MAX_STARTS


def test_a_device_that_anything_happens_to() -> None:
    run_state_machine_as_test(
        Device, settings=settings(max_examples=200, stateful_step_count=40, deadline=None)
    )


@pytest.mark.parametrize("state", [state for state in STATES if possible(state)])
@given(data=st.data())
def test_a_restart_in_any_journalled_state_serves_the_committed_release_and_ends(
    state: State, data: st.DataObject
) -> None:
    """However often it is interrupted: at rest or on its way, and never without a model."""
    model = ModelState(
        model="digits",
        active=installed(1),
        attempt=AttemptState(
            assigned=assigned(2),
            generation=Generation(1, 2),
            state=state,
            started_utc=NOW,
            candidate=None if state in RESTING | {"admitted"} else installed(2),
        ),
    )
    effects: tuple[Effect, ...] = ()
    for _ in range(data.draw(st.integers(1, 3 * MAX_STARTS))):
        model, effects = model_state.advance(model, "interrupted", NOW)
        assert model.active == installed(1)
        assert bool(effects) == (model.state not in RESTING)
        if effects == ("load",):
            assert model.attempt is not None
            assert model.attempt.candidate is not None
            if model_state.loops(model):
                model, effects = model_state.advance(model, "looped", NOW)
                assert model.state == "failed"
            else:
                model = model_state.started(model)


def test_interruptions_while_the_candidate_starts_come_to_an_end() -> None:
    model, _ = model_state.begin(ModelState(model="digits"), assigned(1), Generation(1, 1), NOW)
    model = model_state.agreed(model, installed(1))
    model, _ = model_state.advance(model, "trust-agreed", NOW)
    model, effects = model_state.advance(model, "blobs-complete", NOW)
    starts = 0
    while not model_state.loops(model):
        assert effects == ("load",)
        model = model_state.started(model)
        starts += 1
        model, effects = model_state.advance(model, "interrupted", NOW)
    assert starts == MAX_STARTS
    model, _ = model_state.advance(model, "looped", NOW, Failure(code="UPDATE_LOOP", sentence=""))
    assert model.state == "failed"


def test_a_promoted_release_starts_anew_under_the_new_assignment() -> None:
    model = ModelState(model="digits", active=installed(1))
    model, _ = model_state.begin(model, assigned(2, "shadow"), Generation(1, 1), NOW)
    model = model_state.agreed(model, installed(2))
    for event in ("trust-agreed", "blobs-complete", "loaded", model_state.passed(model)):
        model, effects = model_state.advance(model, event, NOW)
    assert (model.state, effects) == ("shadowing", ("shadow",))
    model = model_state.shadowed(model_state.started(model), SHADOWED)
    model, effects = model_state.advance(model, "shadow-ok", NOW)
    assert (model.state, effects) == ("shadowing", ("shadow",))
    attempt = model.report().attempt
    assert attempt is not None
    assert attempt.shadow == SHADOWED
    model, effects = model_state.promote(model, assigned(2), Generation(1, 2), NOW)
    assert (model.state, effects) == ("verified", ("load",))
    attempt = model.report().attempt
    assert attempt is not None
    assert (attempt.generation, attempt.shadow) == (Generation(1, 2), None)
    assert model_state.passed(model) == "self-test-passed"


def test_a_release_installed_again_does_not_push_the_previous_one_out() -> None:
    model = ModelState(model="digits", active=installed(2), previous=installed(1))
    model, _ = model_state.begin(model, assigned(2), Generation(1, 1), NOW)
    model = model_state.agreed(model, installed(2))
    for event in ("trust-agreed", "blobs-complete", "loaded", "self-test-passed", "probation-ok"):
        model, _ = model_state.advance(model, event, NOW)
    assert model.previous is not None
    assert model.previous.release == 1


def test_damaged_files_are_approached_anew() -> None:
    model = ModelState(model="digits", active=installed(2), previous=installed(1))
    model, _ = model_state.begin(model, assigned(2), Generation(1, 1), NOW)
    model, _ = model_state.advance(model, "refused", NOW, Failure(code="X", sentence=""))
    lost = model_state.lose_files(model)
    assert lost.active is not None
    assert (lost.active.release, lost.attempt) == (1, None)


def test_a_release_below_the_minimum_is_not_gone_back_to() -> None:
    model = ModelState(model="digits", active=installed(2), previous=installed(1))
    for minimum, previous in ((1, installed(1)), (2, None), (9, None)):
        policy = ModelPolicy(model="digits", minimum_release=minimum)
        kept = model_state.without_forbidden(model, {"digits": policy})
        assert kept.previous == previous
        assert kept.active == model.active
    assert model_state.without_forbidden(model, {}) == model
