from datetime import datetime, timedelta, timezone

import msgspec

from lamplighter_agent.core.reconcile import Promote, Remove, Start, Supersede, reconcile
from lamplighter_agent.core.state import AttemptState, Installed, ModelState
from lamplighter_agent.core.update import State
from lamplighter_protocol.assignment import AssignedModel, Assignment, Generation
from lamplighter_protocol.blobs import describe
from lamplighter_protocol.reported import Failure

NOW = datetime(2026, 11, 23, tzinfo=timezone.utc)


def assigned(release: int = 2) -> AssignedModel:
    return AssignedModel(
        model="digits",
        release=release,
        manifest=describe(b"manifest %d" % release),
        variant="onnx-fp32",
        not_before_utc=NOW,
        deadline_utc=NOW + timedelta(hours=1),
    )


def assignment(*models: AssignedModel, counter: int = 1) -> Assignment:
    return Assignment(
        device="pi-1",
        fleet="main",
        generation=Generation(1, counter),
        issued_utc=NOW,
        expires_utc=NOW + timedelta(days=1),
        window_s=60,
        models=models,
    )


def running(release: int) -> Installed:
    return Installed(
        release=release,
        manifest_sha256=describe(b"manifest %d" % release).sha256,
        variant="onnx-fp32",
        files={},
        load_timeout_s=1,
        since_utc=NOW,
    )


def attempt(state: State, release: int = 2, failure: str | None = None) -> AttemptState:
    return AttemptState(
        assigned=assigned(release),
        generation=Generation(1, 1),
        state=state,
        started_utc=NOW,
        failure=Failure(code=failure, sentence="") if failure else None,
    )


def test_a_new_model_is_started() -> None:
    assert reconcile(assignment(assigned()), {}, NOW) == (Start(assigned(), Generation(1, 1)),)


def test_already_there_is_success() -> None:
    here = {"digits": ModelState(model="digits", active=running(2))}
    assert reconcile(assignment(assigned()), here, NOW) == ()


def test_what_runs_in_another_variant_is_not_there() -> None:
    here = {"digits": ModelState(model="digits", active=running(2))}
    wanted = msgspec.structs.replace(assigned(), variant="onnx-int8")
    assert reconcile(assignment(wanted), here, NOW) == (Start(wanted, Generation(1, 1)),)


def test_a_failed_generation_is_not_tried_again_but_a_newer_one_is() -> None:
    model = ModelState(
        model="digits", active=running(1), attempt=attempt("failed", failure="GOLDEN_MISMATCH")
    )
    assert reconcile(assignment(assigned()), {"digits": model}, NOW) == ()
    newer = assignment(assigned(), counter=2)
    assert reconcile(newer, {"digits": model}, NOW) == (Start(assigned(), Generation(1, 2)),)


def test_an_attempt_under_way_goes_on_unless_something_else_is_wanted() -> None:
    model = ModelState(model="digits", attempt=attempt("fetching"))
    assert reconcile(assignment(assigned(), counter=2), {"digits": model}, NOW) == ()
    other = assignment(assigned(3), counter=2)
    assert reconcile(other, {"digits": model}, NOW) == (Supersede("digits"),)


def test_the_way_back_is_not_cut_short() -> None:
    model = ModelState(model="digits", active=running(1), attempt=attempt("rolling-back"))
    assert reconcile(assignment(assigned(3), counter=2), {"digits": model}, NOW) == ()


def test_absence_removes_after_the_attempt_has_ended() -> None:
    busy = ModelState(model="digits", attempt=attempt("fetching"))
    assert reconcile(assignment(), {"digits": busy}, NOW) == (Supersede("digits"),)
    idle = ModelState(model="digits", active=running(2))
    assert reconcile(assignment(), {"digits": idle}, NOW) == (Remove("digits"),)


def test_not_before_is_waited_for() -> None:
    later = msgspec.structs.replace(assigned(), not_before_utc=NOW + timedelta(seconds=1))
    assert reconcile(assignment(later), {}, NOW) == ()
    assert len(reconcile(assignment(later), {}, NOW + timedelta(seconds=1))) == 1


def in_shadow(release: int = 2) -> AssignedModel:
    return msgspec.structs.replace(assigned(release), mode="shadow")


def test_a_shadow_starts_once_what_shall_answer_is_there() -> None:
    wanted = assignment(in_shadow(2), assigned(1))
    assert reconcile(wanted, {}, NOW) == (Start(assigned(1), Generation(1, 1)),)
    here = {"digits": ModelState(model="digits", active=running(1))}
    assert reconcile(wanted, here, NOW) == (Start(in_shadow(2), Generation(1, 1)),)


def test_a_shadow_alone_leaves_what_answers() -> None:
    here = {"digits": ModelState(model="digits", active=running(1))}
    assert reconcile(assignment(in_shadow(2)), here, NOW) == (
        Start(in_shadow(2), Generation(1, 1)),
    )


def test_what_answers_needs_no_shadow_of_itself() -> None:
    here = {"digits": ModelState(model="digits", active=running(2))}
    assert reconcile(assignment(in_shadow(2)), here, NOW) == ()


def shadowing(state: State = "shadowing") -> dict[str, ModelState]:
    under_way = msgspec.structs.replace(attempt(state), assigned=in_shadow(2))
    return {"digits": ModelState(model="digits", active=running(1), attempt=under_way)}


def test_a_shadow_goes_on_until_something_else_is_wanted() -> None:
    wanted = assignment(assigned(1), in_shadow(2), counter=2)
    assert reconcile(wanted, shadowing(), NOW) == ()
    for other in ([assigned(1)], [assigned(3), in_shadow(2)], [assigned(1), in_shadow(3)], []):
        found = reconcile(assignment(*other, counter=2), shadowing(), NOW)
        assert found == (Supersede("digits"),)


def test_an_assignment_as_active_promotes_what_runs_in_shadow() -> None:
    wanted = assignment(assigned(2), counter=2)
    assert reconcile(wanted, shadowing(), NOW) == (Promote(assigned(2), Generation(1, 2)),)
    assert reconcile(wanted, shadowing("fetching"), NOW) == (Supersede("digits"),)
