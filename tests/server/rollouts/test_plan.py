"""The rollout as a machine: simulated devices, time, people, and the controller's step."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Literal

import msgspec
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
)

from lamplighter_protocol.assignment import Generation
from lamplighter_protocol.reported import (
    Active,
    Attempt,
    Failure,
    Inventory,
    ModelReport,
    Reported,
)
from lamplighter_server.rollouts.gates import Place, Target
from lamplighter_server.rollouts.plan import Snapshot, Step, step
from lamplighter_server.rollouts.policy import Policy, assign_waves
from lamplighter_server.rollouts.states import AT_WORK, FAILED, OPEN, Status, follow

Nature = Literal["good", "fails", "rolls back", "silent"]
TARGET = Target(model="digits", release=2, manifest_sha256="a" * 64)
START = datetime(2026, 5, 1, tzinfo=UTC)
INVENTORY = Inventory(
    machine="aarch64", runtimes={}, ram_mb=1, python="3.11", agent_version="0.1.0", system="linux"
)
policies = st.builds(
    Policy,
    waves=st.sampled_from([("1", "25%", "100%"), ("100%",), ("2", "100%"), ("10%", "50%", "100%")]),
    deadline_s=st.just(60),
    max_failed_devices=st.none() | st.integers(0, 2),
    max_failed_share=st.none() | st.integers(0, 100),
)


@dataclass
class Device:
    """A board that answers truthfully, late, or not at all."""

    nature: Nature
    desired: Generation | None = None
    wanted: int = 1
    running: int = 1
    answered: Generation | None = None
    failed: bool = False

    def act(self) -> None:
        if self.nature == "silent" or self.desired is None or self.answered == self.desired:
            return
        self.answered = self.desired
        self.failed = self.wanted == TARGET.release and self.nature != "good"
        self.running = 1 if self.failed else self.wanted

    def report(self, name: str) -> Reported | None:
        if self.answered is None:
            return None
        attempt = Attempt(
            release=TARGET.release,
            generation=self.answered,
            phase="failed" if self.nature == "fails" else "rolled-back",
            started_utc=START,
            failure=Failure(code="GOLDEN_MISMATCH", sentence="It differs."),
        )
        active = Active(
            release=self.running,
            manifest_sha256="a" * 64 if self.running == TARGET.release else "b" * 64,
            variant="onnx-fp32",
            committed=True,
            since_utc=START,
        )
        model = ModelReport(
            model=TARGET.model, active=active, attempt=attempt if self.failed else None
        )
        return Reported(
            device=name,
            fleet="main",
            boot="b",
            counter=1,
            generation=self.answered,
            assignment_sha256=None,
            inventory=INVENTORY,
            trust=None,
            models=(model,),
            wants=(),
            clock_synchronised=True,
            at_utc=START,
        )


class RolloutMachine(RuleBasedStateMachine):
    @initialize(
        natures=st.lists(
            st.sampled_from(["good", "good", "good", "fails", "rolls back", "silent"]),
            min_size=1,
            max_size=12,
        )
        | st.lists(st.sampled_from(["fails", "rolls back", "silent"]), min_size=2, max_size=12)
        | st.lists(st.just("good"), min_size=1, max_size=12),
        policy=policies,
        pause=st.booleans(),
    )
    def create(self, natures: list[Nature], policy: Policy, pause: bool) -> None:
        if pause and len(policy.waves) > 1:
            policy = msgspec.structs.replace(policy, pause_after_waves=(0,))
        self.policy = policy
        self.devices = {f"cam-{i}": Device(nature) for i, nature in enumerate(natures)}
        labels: dict[str, dict[str, str]] = {name: {} for name in self.devices}
        self.places = {
            name: Place(device=name, wave=wave, state="waiting")
            for name, wave in assign_waves(policy, labels, seed="s").items()
        }
        self.status: Status = "draft"
        self.wave, self.reason, self.counter, self.now = 0, "", 0, START
        self.ever_assigned: set[str] = set()

    def snapshot(self) -> Snapshot:
        reports = {name: device.report(name) for name, device in self.devices.items()}
        return Snapshot(
            status=self.status,
            wave=self.wave,
            reason=self.reason,
            policy=self.policy,
            target=TARGET,
            places=tuple(self.places.values()),
            reports={name: report for name, report in reports.items() if report is not None},
            now_utc=self.now,
        )

    def issue(self, name: str, release: int) -> Generation:
        self.counter += 1
        self.devices[name].desired = Generation(1, self.counter)
        self.devices[name].wanted = release
        return Generation(1, self.counter)

    def apply(self, todo: Step) -> None:
        for place in todo.settled:
            self.places[place.device] = place
        for name in todo.assign:
            self.places[name] = msgspec.structs.replace(
                self.places[name],
                state="assigned",
                assigned=self.issue(name, TARGET.release),
                deadline_utc=self.now + timedelta(seconds=self.policy.deadline_s),
            )
        for name in todo.restore:
            self.issue(name, 1)
        self.status, self.wave, self.reason = todo.status, todo.wave, todo.reason
        self.ever_assigned |= set(todo.assign)

    @rule()
    def tick(self) -> None:
        before = self.status
        first = step(self.snapshot())
        self.apply(first)
        if before not in AT_WORK:
            assert (first.assign, first.restore, first.settled) == ((), (), ())
        again = step(self.snapshot())
        assert (again.assign, again.restore, again.settled) == ((), (), ())
        assert (again.status, again.wave, again.reason) == (self.status, self.wave, self.reason)

    @rule(data=st.data())
    def a_device_acts(self, data: Any) -> None:
        self.devices[data.draw(st.sampled_from(sorted(self.devices)))].act()

    @rule()
    def all_devices_act(self) -> None:
        for device in self.devices.values():
            device.act()

    @rule(seconds=st.sampled_from([1, 59, 61]))
    def time_passes(self, seconds: int) -> None:
        self.now += timedelta(seconds=seconds)

    @precondition(lambda self: self.status in {"draft", "paused"})
    @rule()
    def a_person_starts(self) -> None:
        self.status = follow(self.status, "start")

    @precondition(lambda self: self.status in OPEN)
    @rule(really=st.sampled_from([False] * 5 + [True]))
    def a_person_aborts(self, really: bool) -> None:
        if really:
            self.status = follow(self.status, "stop")

    def wave_of(self, wave: int) -> list[Place]:
        return [place for place in self.places.values() if place.wave == wave]

    @invariant()
    def nothing_is_assigned_beyond_a_wave_that_did_not_pass(self) -> None:
        opened = [self.places[name].wave for name in self.ever_assigned]
        for wave in range(max(opened, default=0)):
            members = self.wave_of(wave)
            failed = sum(self.devices[place.device].nature != "good" for place in members)
            assert failed <= self.policy.tolerated(len(members))

    @invariant()
    def only_what_runs_was_counted(self) -> None:
        for place in self.places.values():
            if place.state == "committed":
                assert self.devices[place.device].nature == "good"

    @invariant()
    def a_closed_rollout_left_nothing_open(self) -> None:
        if self.status == "aborted":
            assert all(self.devices[name].wanted == 1 for name in self.ever_assigned)
        if self.status == "succeeded":
            assert {place.state for place in self.places.values()} <= {"committed", *FAILED}

    def teardown(self) -> None:
        """With time, people and ticks enough, every rollout comes to an end."""
        if not hasattr(self, "status"):
            return
        for _ in range(2 * len(self.policy.waves) + 2):
            if self.status in {"draft", "paused"}:
                self.a_person_starts()
            self.tick()
            self.all_devices_act()
            self.time_passes(61)
        assert self.status in {"aborted", "succeeded"}
        tolerable = all(
            sum(self.devices[p.device].nature != "good" for p in self.wave_of(wave))
            <= self.policy.tolerated(len(self.wave_of(wave)))
            for wave in range(len(self.policy.waves))
        )
        if not tolerable:
            assert self.status == "aborted"
        if all(device.nature != "good" for device in self.devices.values()):
            assert self.ever_assigned <= {
                place.device for place in self.places.values() if place.wave == 0
            }


RolloutMachine.TestCase.settings = settings(max_examples=150, stateful_step_count=25)
TestRollout = RolloutMachine.TestCase


def test_a_wave_whose_devices_run_it_already_is_passed_in_one_step() -> None:
    device = Device("good", desired=Generation(1, 3), wanted=2)
    device.act()
    report = device.report("cam-0")
    assert report is not None
    places = (
        Place(device="cam-0", wave=0, state="waiting", wanted=True),
        Place(device="cam-1", wave=1, state="waiting"),
    )
    todo = step(
        Snapshot(
            status="running",
            wave=0,
            reason="",
            policy=Policy(waves=("1", "100%")),
            target=TARGET,
            places=places,
            reports={"cam-0": report},
            now_utc=START,
        )
    )
    assert (todo.wave, todo.assign) == (1, ("cam-1",))
    assert [(place.device, place.state) for place in todo.settled] == [("cam-0", "committed")]
