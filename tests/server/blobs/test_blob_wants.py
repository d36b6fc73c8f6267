from typing import Any

import pytest
from sqlalchemy import select

from lamplighter_server.blobs import service as blobs
from lamplighter_server.outbox.models import OutboxRow

Wish = tuple[str, set[str]]


async def told(stage: Any) -> list[tuple[str, str]]:
    async with stage.context.database.transaction() as session:
        rows = await session.scalars(select(OutboxRow).order_by(OutboxRow.id))
        return [(row.kind, row.topic) for row in rows]


@pytest.mark.parametrize(
    ("wishes", "expected"),
    [
        ([("a", {"x", "y"})], [("publish-blob", "x"), ("publish-blob", "y")]),
        ([("a", {"x"}), ("b", {"x"})], [("publish-blob", "x")]),
        ([("a", {"x"}), ("b", {"x"}), ("a", set())], [("publish-blob", "x")]),
        ([("a", {"x"}), ("a", set())], [("publish-blob", "x"), ("clear-blob", "x")]),
        (
            [("a", {"x"}), ("a", {"y"})],
            [("publish-blob", "x"), ("publish-blob", "y"), ("clear-blob", "x")],
        ),
        (
            [("a", {"x"}), ("a", set()), ("b", {"x"})],  # a late joiner brings it back
            [("publish-blob", "x"), ("clear-blob", "x"), ("publish-blob", "x")],
        ),
    ],
)
async def test_the_broker_holds_what_anybody_wants_and_nothing_else(
    stage: Any, wishes: list[Wish], expected: list[tuple[str, str]]
) -> None:
    for by, digests in wishes:
        async with stage.context.database.transaction() as session:
            if digests:
                await blobs.want(session, digests, by, stage.now)
            else:
                await blobs.unwant(session, by)
    assert await told(stage) == expected
    held: list[str] = []
    for kind, digest in expected:
        (held.append if kind == "publish-blob" else held.remove)(digest)
    async with stage.context.database.transaction() as session:
        assert await blobs.published(session) == sorted(held)


async def test_looking_again_changes_nothing(stage: Any) -> None:
    async with stage.context.database.transaction() as session:
        await blobs.want(session, {"x"}, "a", stage.now)
    before = await told(stage)
    async with stage.context.database.transaction() as session:
        await blobs.reconcile(session, stage.now)
        await blobs.want(session, ["x", "x"], "a", stage.now)
    assert await told(stage) == before


async def test_a_rollback_tells_the_broker_nothing(stage: Any) -> None:
    async def fail() -> None:
        async with stage.context.database.transaction() as session:
            await blobs.want(session, {"x"}, "a", stage.now)
            raise ConnectionError

    with pytest.raises(ConnectionError):
        await fail()
    assert await told(stage) == []
