"""A rollout in shadow: beside what each device runs, and never in its place."""

from typing import Any

import msgspec
import pytest
from tests.server.rollouts.test_controller import abort, begin, create, fleet, show, start

from lamplighter_protocol.assignment import AssignedModel
from lamplighter_protocol.errors import LamplighterError
from lamplighter_protocol.reported import Failure, Shadowed
from lamplighter_server.assignments import service as assignments
from lamplighter_server.devices import revocation
from lamplighter_server.devices import service as devices
from lamplighter_server.devices.views import view
from lamplighter_server.rollouts import controller
from lamplighter_server.rollouts.policy import Policy

__all__ = ["fleet"]
AT_ONCE = Policy(mode="shadow", waves=("100%",))
GOOD = Shadowed(seconds=60, requests=50, compared=50, disagreed=2, missed=0)


async def listed(stage: Any, device: str) -> dict[str, int]:
    """Release by mode, as the device's newest envelope has it."""
    models: tuple[AssignedModel, ...] = (await stage.desired(device)).models
    return {item.mode: item.release for item in models}


async def report_all(stage: Any, **told: Any) -> None:
    for name in stage.boards:
        await stage.report(name, committed=1, tried=2, **told)
    await controller.tick(stage.context)


async def test_a_shadow_stands_beside_what_answers_until_it_is_promoted(fleet: Any) -> None:
    rollout = await begin(fleet, AT_ONCE)
    assert await listed(fleet, "cam-0") == {"active": 1, "shadow": 2}
    await report_all(fleet, phase="shadowing")
    assert (await show(fleet, rollout)).status == "running"
    await report_all(fleet, phase="shadowing", shadow=GOOD)
    shown = await show(fleet, rollout)
    assert (shown.status, shown.waves[0].committed) == ("succeeded", 4)
    assert {place.state for place in shown.devices} == {"shadowed"}
    async with fleet.context.database.transaction() as session:
        device = await devices.get(session, "cam-0")
        (model,) = view(device, await assignments.wanted(session)).models
    assert (model.release, model.wanted_release, model.shadow_release) == (1, 1, 2)
    assert model.shadow is not None
    assert model.shadow["disagreed"] == 2
    assert await listed(fleet, "cam-0") == {"active": 1, "shadow": 2}
    await begin(fleet, Policy(waves=("100%",)))
    assert await listed(fleet, "cam-0") == {"active": 2}


async def test_a_bad_shadow_stops_the_rollout_and_takes_nothing_away(fleet: Any) -> None:
    rollout = await begin(fleet, AT_ONCE)
    cause = Failure(code="ERRORS_OVER_BUDGET", sentence="30 of 40 requests failed.")
    await report_all(fleet, phase="failed", failure=cause)
    assert (await show(fleet, rollout)).status == "aborted"
    for name in fleet.boards:
        assert await listed(fleet, name) == {"active": 1}


async def test_disagreement_above_the_plan_stops_it(fleet: Any) -> None:
    rollout = await begin(fleet, msgspec.structs.replace(AT_ONCE, max_disagreed_share=3))
    await report_all(fleet, phase="shadowing", shadow=GOOD)
    shown = await show(fleet, rollout)
    assert shown.status == "aborted"
    assert "2 of 50 rows were answered otherwise" in shown.reason


async def test_a_person_ends_a_shadow_and_revocation_does(fleet: Any) -> None:
    rollout = await begin(fleet, AT_ONCE)
    await abort(fleet, rollout)
    await controller.tick(fleet.context)
    assert await listed(fleet, "cam-1") == {"active": 1}
    await begin(fleet, AT_ONCE)
    async with fleet.context.database.transaction() as session:
        await revocation.retire(fleet.context, session, "cam-1")
        assert list(await assignments.wanted(session, ["cam-1"])) == []


async def test_agents_without_the_mode_are_left_out(fleet: Any) -> None:
    async with fleet.context.database.transaction() as session:
        device = await devices.get(session, "cam-2")
        device.inventory = {**device.inventory, "modes": ["active"]}
    shown = await show(fleet, await create(fleet, policy=AT_ONCE))
    left_out = {place.device: place.reason for place in shown.devices if place.state == "skipped"}
    assert left_out == {"cam-2": "CAPABILITY_MISSING: Its agent has no mode shadow."}


async def test_a_device_on_which_nothing_answers_is_left_out(fleet: Any) -> None:
    await fleet.add_device("cam-9", site="a")
    shown = await show(fleet, await create(fleet, policy=AT_ONCE))
    left_out = {place.device: place.reason for place in shown.devices if place.state == "skipped"}
    assert left_out.keys() == {"cam-9"}
    assert left_out["cam-9"].startswith("SHADOW_ALONE: ")


def test_a_limit_of_disagreement_asks_for_shadow_mode() -> None:
    with pytest.raises(ValueError, match="for the mode shadow"):
        Policy(max_disagreed_share=3)


async def test_a_rollout_in_shadow_starts_like_any_other(fleet: Any) -> None:
    rollout = await create(fleet, policy=AT_ONCE)
    await start(fleet, rollout)
    with pytest.raises(LamplighterError, match="CONFLICT"):
        await create(fleet, policy=AT_ONCE)
