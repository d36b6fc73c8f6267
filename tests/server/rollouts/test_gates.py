from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import msgspec
import pytest

from lamplighter_protocol.assignment import Generation
from lamplighter_protocol.reported import Failure, Phase, Reported, Shadowed
from lamplighter_server.rollouts.gates import Place, Target, judge_device, judge_wave
from lamplighter_server.rollouts.policy import Policy
from lamplighter_server.rollouts.states import DeviceState

MakeReport = Callable[..., Reported]
NOW = datetime(2026, 5, 1, 12, tzinfo=UTC)
LATE = NOW + timedelta(minutes=11)
OLD, ASSIGNED, NEWER = Generation(1, 6), Generation(1, 7), Generation(2, 1)
TARGET = Target(model="digits", release=2, manifest_sha256="a" * 64)
PLACE = Place(
    device="cam-1",
    wave=0,
    state="assigned",
    assigned=ASSIGNED,
    deadline_utc=NOW + timedelta(minutes=10),
)
CAUSE = Failure(code="GOLDEN_MISMATCH", sentence="Row 3 differs by 0.4.")
BUSY = Failure(code="WAITS_FOR_WORKLOAD", sentence="An application asks to wait.")


@pytest.mark.parametrize("generation", [ASSIGNED, NEWER])
def test_a_signed_commit_is_success(make_report: MakeReport, generation: Generation) -> None:
    report = make_report("cam-1", generation=generation, committed=2)
    assert judge_device(PLACE, report, TARGET, now_utc=NOW).state == "committed"


def test_another_manifest_generation_model_or_release_is_no_success(
    make_report: MakeReport,
) -> None:
    for report in (
        make_report("cam-1", generation=ASSIGNED, committed=2, manifest_sha256="b" * 64),
        make_report("cam-1", generation=OLD, committed=2),
        make_report("cam-1", generation=None, committed=2),
        make_report("cam-1", generation=ASSIGNED, committed=2, model="faces"),
        make_report("cam-1", generation=ASSIGNED, committed=1),
        None,
    ):
        assert judge_device(PLACE, report, TARGET, now_utc=NOW) == PLACE
        assert judge_device(PLACE, report, TARGET, now_utc=LATE).state == "timed-out"


@pytest.mark.parametrize("phase", ["failed", "rolled-back"])
def test_a_failed_try_carries_its_cause(make_report: MakeReport, phase: Phase) -> None:
    report = make_report(
        "cam-1", generation=ASSIGNED, committed=1, trying=2, phase=phase, failure=CAUSE
    )
    judged = judge_device(PLACE, report, TARGET, now_utc=NOW)
    assert (judged.state, judged.reason) == (phase, "GOLDEN_MISMATCH: Row 3 differs by 0.4.")


def test_an_older_try_of_the_same_release_does_not_count(make_report: MakeReport) -> None:
    report = make_report("cam-1", generation=OLD, committed=1, trying=2, phase="failed")
    assert judge_device(PLACE, report, TARGET, now_utc=NOW) == PLACE


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"generation": OLD}, "silent past its deadline"),
        ({"generation": ASSIGNED, "trying": 2, "phase": "probation"}, "it was probation"),
        ({"generation": ASSIGNED}, "it was idle"),
        ({"generation": OLD, "problem": CAUSE}, "GOLDEN_MISMATCH"),
        ({"generation": OLD, "problem": CAUSE, "waits": BUSY}, "WAITS_FOR_WORKLOAD"),
    ],
)
def test_a_missed_deadline_says_what_is_known(
    make_report: MakeReport, options: dict[str, object], said: str
) -> None:
    judged = judge_device(PLACE, make_report("cam-1", **options), TARGET, now_utc=LATE)
    assert judged.state == "timed-out"
    assert said in judged.reason


def test_the_truth_may_come_after_the_deadline(make_report: MakeReport) -> None:
    late = judge_device(PLACE, None, TARGET, now_utc=LATE)
    report = make_report("cam-1", generation=ASSIGNED, committed=2)
    assert judge_device(late, report, TARGET, now_utc=LATE).state == "committed"


def test_a_device_that_runs_it_already_is_a_success_only_if_it_is_to_have_it(
    make_report: MakeReport,
) -> None:
    report = make_report("cam-1", generation=OLD, committed=2)
    for wanted, state in ((True, "committed"), (False, "waiting")):
        place = Place(device="cam-1", wave=0, state="waiting", wanted=wanted)
        assert judge_device(place, report, TARGET, now_utc=LATE).state == state


def test_settled_states_are_final(make_report: MakeReport) -> None:
    report = make_report("cam-1", generation=ASSIGNED, committed=2)
    states: tuple[DeviceState, ...] = ("failed", "rolled-back", "skipped", "committed")
    for state in states:
        place = Place(device="cam-1", wave=0, state=state, assigned=ASSIGNED, deadline_utc=NOW)
        assert judge_device(place, report, TARGET, now_utc=LATE) == place


@pytest.mark.parametrize(
    ("states", "policy", "decision"),
    [
        ([], Policy(), "go"),
        (["skipped"], Policy(), "go"),
        (["committed", "committed"], Policy(), "go"),
        (["committed", "assigned"], Policy(), "wait"),
        (["waiting"], Policy(), "wait"),
        (["committed", "failed"], Policy(), "stop"),
        (["waiting", "rolled-back"], Policy(), "stop"),
        (["committed", "timed-out"], Policy(), "stop"),
        (["committed", "timed-out"], Policy(max_failed_devices=1), "go"),
        (["assigned", "timed-out"], Policy(max_failed_devices=1), "wait"),
        (["committed", "failed"], Policy(max_failed_share=49), "stop"),
        (["committed", "failed"], Policy(max_failed_share=50), "go"),
        (["failed", "failed"], Policy(max_failed_share=100), "stop"),
    ],
)
def test_the_gate(states: list[DeviceState], policy: Policy, decision: str) -> None:
    places = [Place(device=f"cam-{i}", wave=0, state=s) for i, s in enumerate(states)]
    assert judge_wave(policy, places).decision == decision


def shadowed(compared: int = 40, disagreed: int = 4) -> Shadowed:
    return Shadowed(seconds=60, requests=40, compared=compared, disagreed=disagreed, missed=0)


IN_SHADOW = msgspec.structs.replace(TARGET, mode="shadow")


def test_a_signed_time_in_shadow_is_success_in_that_mode_only(make_report: MakeReport) -> None:
    report = make_report(
        "cam-1", generation=ASSIGNED, committed=1, trying=2, phase="shadowing", shadow=shadowed()
    )
    judged = judge_device(PLACE, report, IN_SHADOW, now_utc=NOW)
    assert (judged.state, judged.reason) == (
        "shadowed",
        "4 of 40 rows were answered otherwise in shadow",
    )
    assert judge_device(PLACE, report, TARGET, now_utc=NOW) == PLACE
    assert judge_wave(Policy(mode="shadow"), [judged]).decision == "go"


@pytest.mark.parametrize(
    "told",
    [
        {"shadow": None},
        {"generation": OLD},
        {"trying": 3},
        {"phase": "verified"},
    ],
)
def test_a_shadow_whose_time_is_not_over_is_waited_for(
    make_report: MakeReport, told: dict[str, object]
) -> None:
    over = {"generation": ASSIGNED, "trying": 2, "phase": "shadowing", "shadow": shadowed()}
    report = make_report("cam-1", committed=1, **{**over, **told})
    assert judge_device(PLACE, report, IN_SHADOW, now_utc=NOW) == PLACE
    assert judge_device(PLACE, report, IN_SHADOW, now_utc=LATE).state == "timed-out"


@pytest.mark.parametrize(
    ("compared", "disagreed", "state"),
    [(40, 4, "shadowed"), (40, 5, "failed"), (0, 0, "failed"), (1, 0, "shadowed")],
)
def test_disagreement_above_the_limit_fails_and_no_comparison_is_no_go(
    make_report: MakeReport, compared: int, disagreed: int, state: DeviceState
) -> None:
    report = make_report(
        "cam-1",
        generation=ASSIGNED,
        committed=1,
        trying=2,
        phase="shadowing",
        shadow=shadowed(compared, disagreed),
    )
    target = msgspec.structs.replace(IN_SHADOW, max_disagreed_share=10)
    assert judge_device(PLACE, report, target, now_utc=NOW).state == state
