from datetime import timedelta
from typing import Any

import msgspec
import pytest
from sqlalchemy import select

from lamplighter_protocol import dsse
from lamplighter_protocol.assignment import (
    DirectorKeys,
    Generation,
    accept_assignment,
    decode_director_keys,
)
from lamplighter_protocol.bundle import Manifest, Variant
from lamplighter_protocol.canonical import encode
from lamplighter_protocol.errors import LamplighterError
from lamplighter_protocol.reported import Inventory
from lamplighter_server.assignments import renewal
from lamplighter_server.assignments import service as assignments
from lamplighter_server.devices import revocation
from lamplighter_server.outbox.models import OutboxRow
from lamplighter_server.trust.files import DIRECTOR_KEYS
from lamplighter_server.trust.models import TrustFileRow


async def want(stage: Any, session: Any, model: str, release: int) -> None:
    await assignments.want(
        session,
        device="cam-1",
        model=model,
        release=release,
        variant="onnx-fp32",
        rollout="r1",
        deadline_utc=stage.now + timedelta(hours=1),
    )


async def test_an_assignment_lists_every_model_and_is_accepted_by_a_device(stage: Any) -> None:
    await stage.add_device("cam-1")
    for model in ("digits", "letters"):
        await stage.add_release(model, 1)
    context = stage.context
    async with context.database.transaction() as session:
        await want(stage, session, "letters", 1)
        await want(stage, session, "digits", 1)
        issued = await assignments.issue(context, session, ["cam-1"], stage.now)
    assert issued == {"cam-1": Generation(1, 1)}
    async with context.database.transaction() as session:
        row = (await session.scalars(select(OutboxRow))).one()
        keys = await session.get(TrustFileRow, DIRECTOR_KEYS)
    assert (row.topic, row.retain) == (context.topics.device("cam-1", "desired"), True)
    assignment = accept_assignment(
        row.payload,
        device="cam-1",
        fleet="main",
        director=decode_director_keys(keys.body),
        last=None,
        now_utc=stage.now,
    )
    assert [item.model for item in assignment.models] == ["digits", "letters"]
    assert assignment.window_s == context.settings.window_s
    for item in assignment.models:
        assert item.manifest.size_bytes == len(context.objects.read(item.manifest.sha256))


async def test_a_withdrawn_model_is_absent_from_a_higher_generation(stage: Any) -> None:
    await stage.add_device("cam-1")
    await stage.add_release("digits", 1)
    context = stage.context
    async with context.database.transaction() as session:
        await want(stage, session, "digits", 1)
        await assignments.issue(context, session, ["cam-1"], stage.now)
        await assignments.withdraw(session, "cam-1", "digits")
        issued = await assignments.issue(context, session, ["cam-1"], stage.now)
    assert issued == {"cam-1": Generation(1, 2)}
    desired = await stage.desired("cam-1")
    assert desired.models == ()


async def test_after_a_restore_the_counter_starts_above_every_report(stage: Any) -> None:
    await stage.add_device("cam-1")
    await stage.report("cam-1", generation=Generation(1, 41))
    async with stage.context.database.transaction() as session:
        issued = await assignments.issue(stage.context, session, ["cam-1"], stage.now)
    assert issued == {"cam-1": Generation(1, 42)}
    await stage.report("cam-1", generation=Generation(0, 99))  # of an epoch that is over
    async with stage.context.database.transaction() as session:
        issued = await assignments.issue(stage.context, session, ["cam-1"], stage.now)
    assert issued == {"cam-1": Generation(1, 43)}


async def test_what_cannot_be_assigned_is_refused(stage: Any) -> None:
    await stage.add_device("cam-1")
    async with stage.context.database.transaction() as session:
        await want(stage, session, "digits", 9)
        with pytest.raises(LamplighterError, match="NOT_FOUND"):
            await assignments.issue(stage.context, session, ["cam-1"], stage.now)
        with pytest.raises(LamplighterError, match="DEVICE_UNKNOWN"):
            await assignments.issue(stage.context, session, ["ghost"], stage.now)
    assert await stage.desired("cam-1") is None


def variant(name: str, *machines: str, runtime: Any = "onnxruntime") -> Variant:
    return Variant(name=name, runtime=runtime, file="model.onnx", machines=machines)


@pytest.mark.parametrize(
    ("variants", "chosen"),
    [
        ((variant("onnx-fp32"), variant("onnx-int8")), "onnx-int8"),
        ((variant("onnx-fp32"), variant("onnx-int8", "x86_64")), "onnx-fp32"),
        ((variant("onnx-fp32"), variant("litert-int8", runtime="litert")), "onnx-fp32"),
        ((variant("onnx-fp32", "x86_64", "aarch64"),), "onnx-fp32"),
        ((variant("onnx-a"), variant("onnx-b")), "onnx-a"),
        ((variant("onnx-fp32", "x86_64"),), None),
        ((variant("litert-int8", runtime="litert"),), None),
    ],
)
async def test_a_board_gets_a_variant_that_it_can_run(
    stage: Any, variants: tuple[Variant, ...], chosen: str | None
) -> None:
    manifest: Manifest = msgspec.structs.replace(
        await stage.add_release("digits", 1), variants=variants
    )
    board = Inventory(
        machine="aarch64",
        runtimes={"onnxruntime": "1.23.2"},
        ram_mb=1,
        python="3.11",
        agent_version="0",
        system="linux",
    )
    if chosen is None:
        with pytest.raises(LamplighterError, match="VARIANT_UNSUPPORTED"):
            assignments.choose_variant(manifest, board)
    else:
        assert assignments.choose_variant(manifest, board) == chosen


async def test_new_director_keys_end_what_the_former_ones_have_signed(stage: Any) -> None:
    await stage.add_device("cam-1")
    await stage.add_release("digits", 1)
    context = stage.context
    async with context.database.transaction() as session:
        await want(stage, session, "digits", 1)
        await assignments.issue(context, session, ["cam-1"], stage.now)
        [former] = [row.envelope for row in await assignments.current(session)]
    following = DirectorKeys(
        epoch=2, public_pem=(dsse.public_pem(context.keys.propose("director").public_key()),)
    )
    async with context.database.transaction() as session:
        row = await session.get(TrustFileRow, DIRECTOR_KEYS)
        row.body = encode(following)
    await renewal.tick(context)
    async with context.database.transaction() as session:
        [row] = await assignments.current(session)
    assert (row.epoch, row.counter) == (2, 1)

    def accept(raw: bytes) -> None:
        accept_assignment(
            raw, device="cam-1", fleet="main", director=following, last=None, now_utc=stage.now
        )

    accept(row.envelope)
    with pytest.raises(LamplighterError, match="SIGNATURE_INVALID"):
        accept(former)


async def test_an_assignment_is_renewed_in_time_and_not_before(stage: Any) -> None:
    await stage.add_device("cam-1")
    await stage.add_release("digits", 1)
    context = stage.context
    async with context.database.transaction() as session:
        await want(stage, session, "digits", 1)
        await assignments.issue(context, session, ["cam-1"], stage.now)
    lifetime_s = context.settings.assignment_lifetime_s
    stage.later(lifetime_s * renewal.RENEWED_AT - 1)
    await renewal.tick(context)
    assert (await stage.desired("cam-1")).generation == Generation(1, 1)
    stage.later(2)
    for _ in range(2):  # the second tick finds nothing to do
        await renewal.tick(context)
    desired = await stage.desired("cam-1")
    assert desired.generation == Generation(1, 2)
    assert desired.expires_utc == stage.now + timedelta(seconds=lifetime_s)


async def test_a_fleet_is_renewed_in_bounded_steps(stage: Any) -> None:
    context, count = stage.context, renewal.BATCH + 1
    for number in range(count):
        await stage.add_device(f"cam-{number}")
    async with context.database.transaction() as session:
        ids = [f"cam-{number}" for number in range(count)]
        await assignments.issue(context, session, ids, stage.now)
    stage.later(context.settings.assignment_lifetime_s)
    renewed = []
    for _ in range(3):
        await renewal.tick(context)
        async with context.database.reading() as session:
            rows = await assignments.current(session)
        renewed.append(sum(row.counter == 2 for row in rows))
    assert renewed == [renewal.BATCH, count, count]


@pytest.mark.parametrize(
    ("reported", "digest", "answered"),
    [
        (Generation(1, 1), None, 1),  # as it was issued
        (Generation(1, 9), "f" * 64, 10),  # a backup had forgotten what was issued later
        (Generation(1, 1), "f" * 64, 2),  # and here the number was given twice
        (Generation(0, 9), "f" * 64, 1),  # an epoch that is over
    ],
)
async def test_a_device_that_knows_more_than_the_server_is_answered(
    stage: Any, reported: Generation, digest: str | None, answered: int
) -> None:
    await stage.add_device("cam-1")
    context = stage.context
    async with context.database.transaction() as session:
        await assignments.issue(context, session, ["cam-1"], stage.now)
        row = await assignments.newest(session, "cam-1")
        assert row is not None
        digest = digest or row.sha256
    report = await stage.report("cam-1", generation=reported, assignment_sha256=digest)
    async with context.database.transaction() as session:
        await assignments.answer(context, session, "cam-1", report)
    assert (await stage.desired("cam-1")).generation == Generation(1, answered)


async def test_a_revoked_device_is_told_nothing_any_more(stage: Any) -> None:
    context = stage.context
    await stage.add_device("cam-1")
    await stage.add_release("digits", 1)
    async with context.database.transaction() as session:
        await want(stage, session, "digits", 1)
        await revocation.revoke(context, session, "cam-1", "stolen")
        await assignments.issue(context, session, ["cam-1"], stage.now)
    async with context.database.transaction() as session:
        assert list(await session.scalars(select(OutboxRow))) == []
        assert list(await assignments.current(session)) == []
        assert await assignments.wanted(session, ["cam-1"]) != []
        await revocation.retire(context, session, "cam-1")
        assert list(await assignments.wanted(session, ["cam-1"])) == []


async def test_a_board_that_enrols_anew_gets_what_was_wanted_and_time_to_fetch_it(
    stage: Any,
) -> None:
    context = stage.context
    await stage.add_device("cam-1")
    await stage.add_device("cam-2")
    await stage.add_release("digits", 1)
    async with context.database.transaction() as session:
        await want(stage, session, "digits", 1)
        await assignments.issue(context, session, ["cam-1"], stage.now)
    stage.later(7200)  # after the deadline of its rollout
    async with context.database.transaction() as session:
        for name in ("cam-1", "cam-2"):
            await assignments.welcome(context, session, name)
    desired = await stage.desired("cam-1")
    assert desired.generation == Generation(1, 2)
    assert desired.models[0].deadline_utc > stage.now
    assert await stage.desired("cam-2") is None
