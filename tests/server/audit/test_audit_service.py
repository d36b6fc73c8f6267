import logging
from typing import Any

import httpx
import pytest

from lamplighter_protocol import dsse
from lamplighter_server.actor import Actor
from lamplighter_server.audit import chain
from lamplighter_server.audit import service as audit
from lamplighter_server.audit.chain import Head, Line
from lamplighter_server.audit.exported import find_envelopes, read_heads
from lamplighter_server.doors import people_app
from lamplighter_server.people.access import Role, requires

ADA = Actor("user", "ada")


async def newest(stage: Any, **chosen: Any) -> list[Line]:
    async with stage.context.database.reading() as session:
        return await audit.ls(session, **chosen)


async def heads(stage: Any) -> list[Head]:
    async with stage.context.database.reading() as session:
        envelopes = await audit.heads(session)
    return list(read_heads(envelopes, stage.context.keys.audit_public_pem))


async def test_lines_are_chosen_by_actor_subject_and_page(stage: Any) -> None:
    for name in ("cam-1", "cam-10"):
        await stage.add_device(name)
    lines = await newest(stage)
    assert [line.sequence for line in lines] == [4, 3, 2, 1]
    assert await newest(stage, limit=1, before=4) == lines[1:2]
    assert await newest(stage, subject="cam-1") == lines[1:2]
    assert await newest(stage, subject="device/cam-1") == lines[1:2]
    assert await newest(stage, subject="device") == lines[:2]
    assert await newest(stage, subject="dev%") == []
    assert await newest(stage, actor="server") == lines
    assert await newest(stage, actor="machine:server", since_utc=lines[0].at_utc) == lines[:1]
    assert await newest(stage, actor="ada") == []


async def test_a_head_is_signed_told_to_the_log_and_due_again_after_a_while(
    stage: Any, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "lamplighter_server.audit")
    await audit.tick(stage.context)
    await stage.add_device("cam-1")
    await audit.tick(stage.context)  # too early for another
    (first,) = await heads(stage)
    stage.later(audit.HEAD_INTERVAL.total_seconds())
    for _ in range(2):  # the second time there is nothing to sign
        await audit.tick(stage.context)
    assert [head.sequence for head in await heads(stage)] == [2, 3]
    assert first.fleet == stage.context.settings.fleet
    async with stage.context.database.reading() as session:
        lines = await audit.chain(session, after=0, limit=10)
        kept = find_envelopes("\n".join(caplog.messages))
        assert kept == await audit.heads(session)
    chain.verify(lines, await heads(stage))


async def test_the_audit_key_is_its_own(stage: Any) -> None:
    keys = stage.context.keys
    public = dsse.load_public(keys.audit_public_pem)
    assert dsse.key_id(public) == keys.audit.key_id != keys.director.key_id


async def test_a_note_outlives_the_transaction_that_was_refused(stage: Any) -> None:
    before = len(await newest(stage))
    with pytest.raises(RuntimeError):
        await refuse_within(stage)
    await audit.tick(stage.context)
    (line, *_) = await newest(stage)
    assert line.sequence == before + 1
    assert (line.actor, line.action, line.subject) == ("user:ada", "approve", "rollout/r1")
    assert line.after == {"code": "STATE_FORBIDS"}


async def refuse_within(stage: Any) -> None:
    async with stage.context.database.transaction(ADA):
        audit.note(stage.context, ADA, "approve", "rollout/r1", {"code": "STATE_FORBIDS"})
        raise RuntimeError


async def test_notes_wait_for_a_database_that_fails(
    stage: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    audit.note(stage.context, audit.NOBODY, "sign-in", "user/ada", {})
    with monkeypatch.context() as broken:
        broken.setattr(stage.context.database, "transaction", refuse_within)
        with pytest.raises((TypeError, AttributeError, RuntimeError)):
            await audit.tick(stage.context)
    await audit.tick(stage.context)
    assert (await newest(stage))[0].action == "sign-in"


async def test_a_refusal_at_the_door_is_told(stage: Any) -> None:
    app = people_app(stage.context, "token")

    @app.get("/api/v1/forbidden")
    @requires(Role.VIEWER)
    async def forbidden() -> None:
        from lamplighter_protocol.errors import LamplighterError

        raise LamplighterError("SIGNATURE_INVALID", "No.")

    async with httpx.AsyncClient(
        transport=httpx.ASGITransport(app),
        base_url="http://127.0.0.1",
        headers={"Authorization": "Bearer token"},
    ) as client:
        assert (await client.get("/api/v1/forbidden")).status_code == 403
        assert (await client.get("/api/v1/devices/ghost")).status_code == 404
    await audit.tick(stage.context)
    (line, *_) = await newest(stage)
    assert (line.actor, line.action, line.subject) == (
        "token:admin",
        "refused",
        "GET /api/v1/forbidden",
    )
    assert line.after == {"code": "SIGNATURE_INVALID", "sentence": "No."}
