from typing import Any

from lamplighter_server.alerts import service
from lamplighter_server.alerts.models import Alert


async def opened(stage: Any, key: str) -> Alert:
    async with stage.context.database.transaction() as session:
        return await service.open_alert(
            session,
            kind="drift",
            key=key,
            sentence=f"Something moved at {stage.now:%H:%M}.",
            command="lamplighter drift report digits@1",
            details={"n": 300},
            now=stage.now,
        )


async def test_one_open_alert_per_key_and_a_new_row_after_it_is_over(stage: Any) -> None:
    first = await opened(stage, "drift/digits/1/a")
    stage.later(60)
    again = await opened(stage, "drift/digits/1/a")
    assert (again.id, again.sentence) == (first.id, first.sentence)
    await opened(stage, "drift/digits/1/b")
    async with stage.context.database.transaction() as session:
        assert await service.resolve(session, "drift/digits/1/a", stage.now)
        assert not await service.resolve(session, "drift/digits/1/a", stage.now)
    third = await opened(stage, "drift/digits/1/a")
    assert third.id != first.id
    async with stage.context.database.transaction() as session:
        assert [alert.key for alert in await service.ls(session)] == [
            "drift/digits/1/a",
            "drift/digits/1/b",
        ]
        everything = await service.ls(session, only_open=False)
        assert [alert.id for alert in everything if alert.resolved_utc] == [first.id]
        assert len(await service.ls(session, only_open=False, limit=2)) == 2
