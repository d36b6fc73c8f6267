"""A console on a real port over the stage of tests/server."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any

import httpx
import msgspec
import pytest
import uvicorn

from lamplighter_protocol.counts import LATENCY_SLOTS, Counts
from lamplighter_protocol.reported import Inventory
from lamplighter_server.devices.models import Device
from lamplighter_server.doors import people_app
from lamplighter_server.people import sessions
from lamplighter_server.telemetry.models import WindowRow

AddWindow = Callable[..., Awaitable[None]]
Serve = Callable[[], AbstractAsyncContextManager[str]]


@pytest.fixture
def serve(stage: Any, free_port: Callable[[], int]) -> Serve:
    """Serve the people's door while a block runs; gives its address."""

    @asynccontextmanager
    async def serving() -> AsyncIterator[str]:
        port = free_port()
        app = people_app(stage.context, "token")
        config = uvicorn.Config(app, port=port, log_config=None, timeout_graceful_shutdown=1)
        server = uvicorn.Server(config)
        task = asyncio.create_task(server.serve())
        while not server.started:
            await asyncio.sleep(0.01)
        yield f"http://127.0.0.1:{port}"
        server.should_exit = True
        await task

    return serving


@pytest.fixture
async def console_url(serve: Serve) -> AsyncIterator[str]:
    async with serve() as url:
        yield url


@pytest.fixture
def sign_in_url(stage: Any, console_url: str) -> Callable[[], Awaitable[str]]:
    """Make a link that signs a browser in once."""

    async def make() -> str:
        async with stage.context.database.transaction() as session:
            key = await sessions.make_link(session, "admin", stage.now)
        return f"{console_url}/sign-in/link?key={key}"

    return make


@pytest.fixture
async def people(console_url: str) -> AsyncIterator[httpx.AsyncClient]:
    headers = {"Authorization": "Bearer token"}
    async with httpx.AsyncClient(base_url=console_url, headers=headers) as client:
        yield client


@pytest.fixture
def add_window(stage: Any) -> AddWindow:
    """Store a window of `digits` with `fine` and `worn` rows."""

    async def add(device: str, *, sequence: int = 0, fine: int, worn: int) -> None:
        n = fine + worn
        counts = Counts(
            rows=n,
            columns={"level": [0, n, *[0] * 9]},
            predictions=[[0, fine], [0, worn]],
            latency=[n, *[0] * (LATENCY_SLOTS - 1)],
            errors={},
        )
        async with stage.context.database.transaction() as session:
            session.add(
                WindowRow(
                    device=device,
                    boot="b1",
                    sequence=sequence,
                    model="digits",
                    release=1,
                    variant="onnx-fp32",
                    mode="active",
                    start_utc=stage.now,
                    length_s=60,
                    clock_synchronised=True,
                    received_utc=stage.now,
                    counts=msgspec.msgpack.encode(counts),
                )
            )

    return add


@pytest.fixture
def add_fleet(stage: Any) -> Callable[[int], Awaitable[None]]:
    """Enrol many devices in one transaction."""
    inventory = Inventory(
        machine="aarch64",
        runtimes={"onnxruntime": "1.23.2"},
        ram_mb=4096,
        python="3.11",
        agent_version="0.1.0",
        system="linux",
    )

    async def add(devices: int) -> None:
        async with stage.context.database.transaction() as session:
            session.add_all(
                Device(
                    id=f"cam-{number:03}",
                    labels={"site": f"site-{number % 5}"},
                    inventory=msgspec.to_builtins(inventory),
                    public_key_pem="",
                    certificate_serial="1",
                    telemetry_key=b"",
                    enrolled_utc=stage.now,
                    online=number % 7 > 0,
                    last_seen_utc=stage.now,
                    boot=None,
                    report_counter=0,
                    report_envelope=None,
                    report=None,
                )
                for number in range(devices)
            )

    return add
