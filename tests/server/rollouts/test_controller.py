"""The controller with a real database file, real assignments and really signed reports."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from sqlalchemy import event, func, select

from lamplighter_protocol.assignment import Generation
from lamplighter_protocol.errors import LamplighterError
from lamplighter_protocol.reported import Failure
from lamplighter_server.alerts import service as alerts
from lamplighter_server.assignments.models import AssignmentRow
from lamplighter_server.blobs import service as blobs
from lamplighter_server.devices import revocation
from lamplighter_server.outbox.models import OutboxRow
from lamplighter_server.rollouts import controller, service
from lamplighter_server.rollouts.policy import Policy
from lamplighter_server.rollouts.views import RolloutDetailView, detail

CAUSE = Failure(code="OUTPUT_COLLAPSED", sentence="98 % of the predictions are 'worn'.")


@pytest.fixture
async def fleet(stage: Any) -> Any:
    """Four devices at two sites that run release 1; release 2 is published."""
    for number, site in enumerate(["a", "b", "a", "b"]):
        await stage.add_device(f"cam-{number}", site=site)
    await stage.add_release("digits", 1)
    await stage.add_release("digits", 2)
    rollout = await create(stage, release=1, policy=Policy(waves=("100%",)))
    await start(stage, rollout)
    await controller.tick(stage.context)
    for name in stage.boards:
        await stage.report(name, committed=1, tried=1)
    await controller.tick(stage.context)
    assert (await show(stage, rollout)).status == "succeeded"
    return stage


async def create(stage: Any, release: int = 2, policy: Policy | None = None) -> str:
    async with stage.context.database.transaction() as session:
        row = await service.create(
            *(stage.context, session, stage.admin),
            model="digits",
            release=release,
            policy=policy or Policy(),
        )
        return row.id


async def start(stage: Any, rollout: str) -> None:
    async with stage.context.database.transaction() as session:
        await service.start(stage.context, session, stage.admin, rollout)


async def abort(stage: Any, rollout: str) -> None:
    async with stage.context.database.transaction() as session:
        await service.abort(session, stage.admin, rollout, "a person stopped it")


async def show(stage: Any, rollout: str) -> RolloutDetailView:
    async with stage.context.database.transaction() as session:
        row = await service.find(session, rollout, stage.admin)
        return detail(row, await service.places(session, rollout))


async def begin(stage: Any, policy: Policy | None = None) -> str:
    rollout = await create(stage, policy=policy)
    await start(stage, rollout)
    await controller.tick(stage.context)
    return rollout


async def assigned(stage: Any, release: int) -> set[str]:
    found = set()
    for name in stage.boards:
        desired = await stage.desired(name)
        if desired and any(item.release == release for item in desired.models):
            found.add(name)
    return found


async def open_alerts(stage: Any) -> dict[str, Any]:
    async with stage.context.database.transaction() as session:
        return {alert.key: alert for alert in await alerts.ls(session)}


async def fingerprint(stage: Any) -> tuple[Any, ...]:
    async with stage.context.database.transaction() as session:
        counters = (await session.scalars(select(AssignmentRow.counter))).all()
        return (
            sorted(counters),
            await session.scalar(select(func.count(OutboxRow.id))),
            await blobs.published(session),
        )


async def test_a_good_release_goes_through_all_waves(fleet: Any) -> None:
    rollout = await begin(fleet)
    seen = []
    for _ in range(4):
        names = await assigned(fleet, 2)
        seen.append(len(names))
        for name in names:
            await fleet.report(name, committed=2, tried=2)
        await controller.tick(fleet.context)
    assert seen == [1, 4, 4, 4]  # of four devices, a quarter is the canary again
    view = await show(fleet, rollout)
    assert view.status == "succeeded"
    assert {place.state for place in view.devices} == {"committed"}
    assert [(wave.devices, wave.committed) for wave in view.waves] == [(1, 1), (0, 0), (3, 3)]
    assert view.timeline[0].what == "created"
    assert view.timeline[-1].what.startswith("succeeded")
    assert await open_alerts(fleet) == {}
    async with fleet.context.database.transaction() as session:
        assert await blobs.published(session) == []


async def test_while_a_wave_is_open_its_blobs_are_published(fleet: Any) -> None:
    await begin(fleet)
    async with fleet.context.database.transaction() as session:
        assert len(await blobs.published(session)) == 3  # manifest, model, golden inputs


async def test_a_tick_twice_is_a_tick_once(fleet: Any) -> None:
    rollout = await begin(fleet)
    for _ in range(3):
        for name in await assigned(fleet, 2):
            await fleet.report(name, committed=2, tried=2)
        await controller.tick(fleet.context)
        before = await fingerprint(fleet), await show(fleet, rollout)
        await controller.tick(fleet.context)
        assert (await fingerprint(fleet), await show(fleet, rollout)) == before


async def test_a_bad_release_stops_at_the_canary_which_gets_the_old_one_back(fleet: Any) -> None:
    rollout = await begin(fleet)
    (canary,) = await assigned(fleet, 2)
    untouched = {name: await fleet.desired(name) for name in fleet.boards if name != canary}
    await fleet.report(canary, committed=1, tried=2, phase="rolled-back", failure=CAUSE)
    await controller.tick(fleet.context)
    view = await show(fleet, rollout)
    assert view.status == "aborted"
    assert "OUTPUT_COLLAPSED" in view.reason
    place = next(place for place in view.devices if place.device == canary)
    assert (place.state, place.previous_release, place.phase) == ("rolled-back", 1, "rolled-back")
    assert place.timings_s["rollback"] == 0.25
    desired = await fleet.desired(canary)
    assert [(item.release, item.allow_downgrade) for item in desired.models] == [(1, True)]
    for name, before in untouched.items():
        assert await fleet.desired(name) == before
    alert = (await open_alerts(fleet))[f"rollout/{rollout}"]
    assert alert.kind == "rollout-aborted"
    assert alert.command == f"lamplighter rollout status {rollout}"
    assert "OUTPUT_COLLAPSED" in alert.sentence
    assert list(alert.details["failed"]) == [canary]
    before = await fingerprint(fleet)
    await controller.tick(fleet.context)
    assert await fingerprint(fleet) == before


async def test_a_later_success_resolves_the_alert(fleet: Any) -> None:
    await begin(fleet)
    (canary,) = await assigned(fleet, 2)
    await fleet.report(canary, committed=1, tried=2, phase="failed", failure=CAUSE)
    await controller.tick(fleet.context)
    assert await open_alerts(fleet)
    await begin(fleet, Policy(waves=("100%",)))
    for name in fleet.boards:
        await fleet.report(name, committed=2, tried=2)
    await controller.tick(fleet.context)
    assert await open_alerts(fleet) == {}


async def test_silence_stops_the_rollout(fleet: Any) -> None:
    rollout = await begin(fleet, Policy(deadline_s=60))
    fleet.later(59)
    await controller.tick(fleet.context)
    assert (await show(fleet, rollout)).status == "running"
    fleet.later(1)
    await controller.tick(fleet.context)
    view = await show(fleet, rollout)
    assert view.status == "aborted"
    assert "silent past its deadline" in view.reason
    assert await assigned(fleet, 2) == set()


async def test_a_board_that_waits_says_why_until_it_goes_on(fleet: Any) -> None:
    rollout = await begin(fleet)
    (canary,) = await assigned(fleet, 2)

    async def why() -> str:
        places = (await show(fleet, rollout)).devices
        return next(place.reason for place in places if place.device == canary)

    busy = Failure(code="WAITS_FOR_WORKLOAD", sentence="An application asks to wait.")
    await fleet.report(canary, committed=1, tried=2, phase="fetching", waits=busy)
    assert await why() == "waits, WAITS_FOR_WORKLOAD: An application asks to wait."
    await fleet.report(canary, committed=1, tried=2, phase="probation")
    assert await why() == ""


async def test_an_unsigned_or_old_success_is_none(fleet: Any) -> None:
    rollout = await begin(fleet)
    (canary,) = await assigned(fleet, 2)
    with pytest.raises(LamplighterError, match="SIGNATURE_INVALID"):
        await fleet.report(canary, committed=2, signer=Ed25519PrivateKey.generate())
    await fleet.report(canary, committed=2, generation=Generation(1, 1))
    await controller.tick(fleet.context)
    view = await show(fleet, rollout)
    assert (view.status, view.wave) == ("running", 0)
    assert await assigned(fleet, 2) == {canary}


async def test_a_person_aborts_and_devices_without_a_previous_release_lose_the_model(
    stage: Any,
) -> None:
    await stage.add_device("cam-0")
    await stage.add_release("digits", 2)
    rollout = await begin(stage)
    assert await assigned(stage, 2) == {"cam-0"}
    await abort(stage, rollout)
    assert (await show(stage, rollout)).status == "aborting"
    await controller.tick(stage.context)
    assert (await show(stage, rollout)).status == "aborted"
    desired = await stage.desired("cam-0")
    assert desired.models == ()
    with pytest.raises(LamplighterError, match="STATE_FORBIDS"):
        await abort(stage, rollout)


async def test_an_aborted_draft_touches_nobody(fleet: Any) -> None:
    before = await fingerprint(fleet)
    rollout = await create(fleet)
    await abort(fleet, rollout)
    await controller.tick(fleet.context)
    assert (await show(fleet, rollout)).status == "aborted"
    assert await fingerprint(fleet) == before
    assert await open_alerts(fleet) == {}


async def test_a_revoked_device_gets_nothing_new(fleet: Any) -> None:
    rollout = await begin(fleet, Policy(waves=("1", "100%"), pause_after_waves=(0,)))
    (canary,) = await assigned(fleet, 2)
    revoked = next(name for name in fleet.boards if name != canary)
    async with fleet.context.database.transaction() as session:
        await revocation.revoke(fleet.context, session, revoked, "stolen")
    await fleet.report(canary, committed=2, tried=2)
    await controller.tick(fleet.context)
    await start(fleet, rollout)
    await controller.tick(fleet.context)
    places = {place.device: place for place in (await show(fleet, rollout)).devices}
    assert places[revoked].state == "failed"
    assert revoked not in await assigned(fleet, 2)


async def test_a_pause_waits_for_a_person(fleet: Any) -> None:
    rollout = await begin(fleet, Policy(waves=("1", "100%"), pause_after_waves=(0,)))
    (canary,) = await assigned(fleet, 2)
    await fleet.report(canary, committed=2, tried=2)
    for _ in range(3):
        await controller.tick(fleet.context)
        assert (await show(fleet, rollout)).status == "paused"
    assert await assigned(fleet, 2) == {canary}
    await start(fleet, rollout)
    await controller.tick(fleet.context)
    assert await assigned(fleet, 2) == set(fleet.boards)


async def test_devices_that_run_it_already_are_done(fleet: Any) -> None:
    await begin(fleet, Policy(waves=("100%",)))
    for name in fleet.boards:
        await fleet.report(name, committed=2, tried=2)
    await controller.tick(fleet.context)
    before = (await fingerprint(fleet))[0]
    again = await begin(fleet)
    assert (await show(fleet, again)).status == "succeeded"
    assert (await fingerprint(fleet))[0] == before


async def test_one_open_rollout_holds_its_devices(fleet: Any) -> None:
    first = await create(fleet, policy=Policy(where={"site": "a"}))
    with pytest.raises(LamplighterError, match="CONFLICT"):
        await create(fleet)
    await create(fleet, policy=Policy(where={"site": "b"}))
    await start(fleet, first)
    with pytest.raises(LamplighterError, match="STATE_FORBIDS"):
        await start(fleet, first)


async def test_nobody_to_roll_out_to(fleet: Any) -> None:
    with pytest.raises(LamplighterError, match="ROLLOUT_INVALID"):
        await create(fleet, policy=Policy(where={"site": "c"}))
    with pytest.raises(LamplighterError, match="NOT_FOUND"):
        await create(fleet, release=9)
    with pytest.raises(LamplighterError, match="NOT_FOUND"):
        await show(fleet, "digits-9-ffffff")


async def test_a_rollout_that_cannot_be_judged_waits_and_says_why(fleet: Any) -> None:
    rollout = await begin(fleet)
    (canary,) = await assigned(fleet, 2)
    await fleet.report(canary, committed=2, tried=2)
    async with fleet.context.database.transaction() as session:
        row = await service.find(session, rollout, fleet.admin)
        row.policy = {"waves": []}
    await controller.tick(fleet.context)
    async with fleet.context.database.transaction() as session:
        row = await service.find(session, rollout, fleet.admin)
        assert (row.status, row.wave) == ("running", 0)
        assert "ROLLOUT_INVALID" in row.reason
    assert await assigned(fleet, 2) == {canary}


class PowerCutError(Exception):
    pass


@contextmanager
def cut_after(stage: Any, statements: int) -> Iterator[None]:
    """The connection dies when one more than `statements` are executed."""
    left = [statements]

    def count(*_: Any) -> None:
        left[0] -= 1
        if left[0] < 0:
            raise PowerCutError

    engine = stage.context.database.engine.sync_engine
    event.listen(engine, "before_cursor_execute", count)
    try:
        yield
    finally:
        event.remove(engine, "before_cursor_execute", count)


@pytest.mark.parametrize("outcome", ["open", "finish", "abort"])
async def test_a_tick_may_be_cut_at_every_statement(fleet: Any, outcome: str) -> None:
    rollout = await create(fleet, policy=Policy(waves=("100%",)))
    await start(fleet, rollout)
    if outcome != "open":
        await controller.tick(fleet.context)
        for name in fleet.boards:
            if outcome == "finish":
                await fleet.report(name, committed=2, tried=2)
            else:
                await fleet.report(name, committed=1, tried=2, phase="failed", failure=CAUSE)
    before = await fingerprint(fleet), await show(fleet, rollout)
    cuts = 0
    while True:
        try:
            with cut_after(fleet, cuts):
                await controller.tick(fleet.context)
            break
        except PowerCutError:
            assert (await fingerprint(fleet), await show(fleet, rollout)) == before
            cuts += 1
    assert cuts > 10
    view = await show(fleet, rollout)
    assert view.status == {"open": "running", "finish": "succeeded", "abort": "aborted"}[outcome]
    assert await assigned(fleet, 2) == (set() if outcome == "abort" else set(fleet.boards))
    counters = before[0][0]
    after = (await fingerprint(fleet))[0]
    assert after == [item + (outcome != "finish") for item in counters]
