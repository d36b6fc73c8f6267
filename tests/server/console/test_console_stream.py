import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager
from typing import Any

import httpx
import pytest
from sqlalchemy import event

from lamplighter_server.console import endpoints
from lamplighter_server.console.endpoints import Console
from lamplighter_server.console.pages import Pages
from lamplighter_server.people.access import Caller

TOKEN = {"Authorization": "Bearer token"}


async def next_event(stream: AsyncIterator[bytes]) -> tuple[str, Any]:
    while True:
        fields = dict(
            line.split(": ", 1) for line in (await anext(stream)).decode().strip().splitlines()
        )
        if "event" in fields:
            return fields["event"], json.loads(fields["data"])


def watch(stage: Any, console: Console, shown: str = "") -> AsyncIterator[bytes]:
    async def caller_now() -> Caller:
        admin: Caller = stage.admin
        return admin

    return console.stream(shown, stage.admin, caller_now)


def count_transactions(stage: Any) -> list[None]:
    begun: list[None] = []
    event.listen(stage.context.database.engine.sync_engine, "begin", lambda _: begun.append(None))
    return begun


async def test_a_change_reaches_an_open_stream(stage: Any) -> None:
    console = Console(stage.context, Pages("main"))
    stream = watch(stage, console)
    kind, first = await next_event(stream)
    assert kind == "change"
    assert first["order"]["sites"] == ["empty"]
    await stage.add_device("cam-1", site="mill")
    kind, second = await asyncio.wait_for(next_event(stream), 10)
    assert kind == "change"
    assert set(second["html"]) == {"summary", *second["order"]["sites"]}
    assert "cam-1" in second["html"][second["order"]["sites"][0]]


async def test_a_page_that_is_up_to_date_hears_a_beat_only(stage: Any) -> None:
    console = Console(stage.context, Pages("main"))
    _, first = await next_event(watch(stage, console))
    assert await next_event(watch(stage, console, first["digest"])) == ("beat", {})


async def test_more_subscribers_cost_no_query(stage: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(endpoints, "READ_INTERVAL_S", 60)
    console = Console(stage.context, Pages("main"))
    begun = count_transactions(stage)
    await next_event(watch(stage, console))
    once = len(begun)
    assert once > 0
    await asyncio.gather(*(next_event(watch(stage, console)) for _ in range(20)))
    assert len(begun) == once


async def test_the_stream_over_http(console_url: str) -> None:
    async with (
        httpx.AsyncClient(base_url=console_url, headers=TOKEN) as client,
        client.stream("GET", "/api/v1/stream", headers={"Last-Event-ID": "old"}) as answer,
    ):
        assert answer.headers["content-type"].startswith("text/event-stream")
        assert answer.headers["cache-control"] == "no-store"
        lines = answer.aiter_lines()
        assert await anext(lines) == "retry: 2000"
        assert [(await anext(lines)).partition(":")[0] for _ in range(4)] == [
            "",
            "id",
            "event",
            "data",
        ]


async def test_a_server_that_stops_ends_its_streams_properly(
    serve: Callable[[], AbstractAsyncContextManager[str]], caplog: pytest.LogCaptureFixture
) -> None:
    async with httpx.AsyncClient(headers=TOKEN) as client:
        async with serve() as url:
            request = client.build_request("GET", f"{url}/api/v1/stream")
            answer = await client.send(request, stream=True)
            lines = answer.aiter_lines()
            assert await anext(lines) == "retry: 2000"
        assert [line async for line in lines]
    assert "Exception in ASGI application" not in caplog.text


async def test_a_stream_ends_when_the_one_who_looks_may_no_more(
    stage: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(endpoints, "BEAT_S", 0.0)

    async def nobody() -> None:
        return None

    stream = Console(stage.context, Pages("main")).stream("", stage.admin, nobody)
    assert [event async for event in stream] == [b"retry: 2000\n\n"]
