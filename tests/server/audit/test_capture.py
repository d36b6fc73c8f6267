import asyncio
from typing import Any

import pytest
from sqlalchemy import delete, insert, select, text, update
from sqlalchemy.ext.asyncio import AsyncSession

from lamplighter_server.actor import Actor
from lamplighter_server.assignments import service as assignments
from lamplighter_server.assignments.models import WantedModel
from lamplighter_server.audit import chain
from lamplighter_server.audit import service as audit
from lamplighter_server.audit.chain import Line
from lamplighter_server.devices.models import Device, Invitation
from lamplighter_server.rollouts import service as rollouts
from lamplighter_server.rollouts.policy import read_policy

ADA = Actor("user", "ada")
TRUST = 2
"""Lines that the stage itself has written."""


async def lines_of(stage: Any) -> list[Line]:
    """Every line, the chain verified."""
    async with stage.context.database.reading() as session:
        lines = await audit.chain(session, after=0, limit=10_000)
    chain.verify(lines)
    return lines


async def told(stage: Any, since: int = 0) -> list[tuple[Any, ...]]:
    return [
        (line.actor, line.action, line.subject, line.before, line.after)
        for line in (await lines_of(stage))[since:]
    ]


async def want(session: AsyncSession, device: str, release: int, stage: Any) -> None:
    await assignments.want(
        session,
        device=device,
        model="digits",
        release=release,
        variant="onnx-fp32",
        rollout=None,
        deadline_utc=stage.now,
    )


async def test_a_row_is_told_when_it_comes_changes_and_goes(stage: Any) -> None:
    await stage.add_device("cam-1", site="mill")
    database = stage.context.database
    async with database.transaction(ADA) as session:
        device = await session.get(Device, "cam-1")
        assert device is not None
        device.labels = {"site": "harbour"}
        device.online = False
    async with database.transaction(ADA) as session:
        await session.delete(await session.get(Device, "cam-1"))
    created, changed, removed = await told(stage, TRUST)
    assert created[:4] == ("machine:server", "create", "device/cam-1", None)
    assert created[4].keys() == {
        "labels",
        "public_key_pem",
        "certificate_serial",
        "enrolled_utc",
        "revoked_utc",
        "revoked_reason",
        "cut_off_utc",
        "retired_utc",
    }
    assert changed == (
        "user:ada",
        "change",
        "device/cam-1",
        {"labels": {"site": "mill"}},
        {"labels": {"site": "harbour"}},
    )
    assert removed[:3] == ("user:ada", "remove", "device/cam-1")
    assert removed[3]["labels"] == {"site": "harbour"}
    assert removed[4] is None


async def test_telemetry_leaves_no_line(stage: Any) -> None:
    await stage.add_device("cam-1")
    before = len(await lines_of(stage))
    await stage.report("cam-1")
    assert await told(stage, before) == []


async def test_a_row_that_is_flushed_twice_is_told_once(stage: Any) -> None:
    await stage.add_device("cam-1")
    before = len(await lines_of(stage))
    async with stage.context.database.transaction(ADA) as session:
        for release in (1, 2):
            await want(session, "cam-1", release, stage)
            await session.flush()
    async with stage.context.database.transaction(ADA) as session:
        for release in (3, 2):
            await want(session, "cam-1", release, stage)
            await session.flush()
    ((_, action, subject, _, after),) = await told(stage, before)
    assert (action, subject) == ("create", "wanted_model/cam-1/digits")
    assert after["release"] == 2


async def fail(block: Any, release: int, stage: Any, session: AsyncSession | None = None) -> None:
    async with block as opened:
        session = session or opened
        await want(session, "cam-1", release, stage)
        await session.flush()
        raise RuntimeError


async def test_what_is_rolled_back_did_not_happen(stage: Any) -> None:
    await stage.add_device("cam-1")
    before = len(await lines_of(stage))
    with pytest.raises(RuntimeError):
        await fail(stage.context.database.transaction(ADA), 1, stage)
    async with stage.context.database.transaction(ADA) as session:
        await want(session, "cam-1", 1, stage)
        with pytest.raises(RuntimeError):
            await fail(session.begin_nested(), 2, stage, session)
        async with session.begin_nested():
            session.add(_invitation("cam-2", stage))
    subjects = [entry[2] for entry in await told(stage, before)]
    assert subjects == ["wanted_model/cam-1/digits", "invitation/cam-2"]
    assert (await told(stage, before))[0][4]["release"] == 1


def _invitation(device: str, stage: Any) -> Invitation:
    return Invitation(
        token_sha256="5ec4e7" * 10,
        device=device,
        labels={},
        created_utc=stage.now,
        expires_utc=stage.now,
        used_utc=None,
    )


async def test_statements_for_many_rows_are_told_row_by_row(stage: Any) -> None:
    for name in ("cam-1", "cam-2", "cam-3"):
        await stage.add_device(name)
    async with stage.context.database.transaction() as session:
        for name in ("cam-1", "cam-2", "cam-3"):
            await want(session, name, 1, stage)
    before = len(await lines_of(stage))
    async with stage.context.database.transaction(ADA) as session:
        chosen = WantedModel.device.in_(["cam-1", "cam-2"])
        found = await session.execute(
            update(WantedModel).where(chosen).values(release=2).returning(WantedModel.device)
        )
        assert sorted(found.scalars()) == ["cam-1", "cam-2"]
        await session.execute(delete(WantedModel).where(WantedModel.device == "cam-2"))
        await session.execute(
            update(WantedModel).where(WantedModel.device == "ghost").values(release=9)
        )
    entries = await told(stage, before)
    assert entries[0] == (
        "user:ada",
        "change",
        "wanted_model/cam-1/digits",
        {"release": 1},
        {"release": 2},
    )
    assert entries[1][:3] == ("user:ada", "remove", "wanted_model/cam-2/digits")
    assert entries[1][3]["release"] == 1
    assert len(entries) == 2


@pytest.mark.parametrize(
    "statement",
    [insert(WantedModel).values(device="cam-1"), text("UPDATE wanted_model SET release = 9")],
    ids=["insert", "text"],
)
async def test_statements_that_nobody_could_tell_are_refused(stage: Any, statement: Any) -> None:
    async with stage.context.database.transaction() as session:
        with pytest.raises(TypeError):
            await session.execute(statement)


async def test_the_digest_of_a_token_is_never_written(stage: Any) -> None:
    async with stage.context.database.transaction() as session:
        session.add(_invitation("cam-1", stage))
    async with stage.context.database.transaction() as session:
        await session.execute(update(Invitation).values(used_utc=stage.now))
    entries = await told(stage, TRUST)
    assert [entry[2] for entry in entries] == ["invitation/cam-1"] * 2
    assert "5ec4e7" not in str(entries)


async def test_a_rollout_is_told_from_its_plan_to_each_device(stage: Any) -> None:
    await stage.add_release("digits", 1)
    for name in ("cam-1", "cam-2"):
        await stage.add_device(name)
    before = len(await lines_of(stage))
    async with stage.context.database.transaction(ADA) as session:
        row = await rollouts.create(
            stage.context, session, stage.admin, model="digits", release=1, policy=read_policy({})
        )
    async with stage.context.database.transaction(ADA) as session:
        await rollouts.start(stage.context, session, stage.admin, row.id)
    entries = await told(stage, before)
    told_of = [entry[1:3] for entry in entries]
    assert told_of[0] == ("create", f"rollout/{row.id}")
    assert sorted(told_of[1:3]) == [
        ("create", f"rollout_device/{row.id}/cam-1"),
        ("create", f"rollout_device/{row.id}/cam-2"),
    ]
    assert told_of[3:] == [("change", f"rollout/{row.id}")]
    assert entries[0][4]["policy"]["waves"]
    assert entries[-1][3:] == ({"status": "draft"}, {"status": "running"})


async def test_transactions_at_once_make_one_chain(stage: Any) -> None:
    await asyncio.gather(*(stage.add_device(f"cam-{number}") for number in range(20)))
    lines = await lines_of(stage)
    assert [line.sequence for line in lines] == list(range(1, len(lines) + 1))
    assert len({line.subject for line in lines if line.subject.startswith("device/")}) == 20


async def test_reading_takes_no_line(stage: Any) -> None:
    async with stage.context.database.transaction() as session:
        await session.execute(select(Device))
    assert await told(stage, TRUST) == []
