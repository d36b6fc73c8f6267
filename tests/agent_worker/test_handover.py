"""Two servers in one loop on one listening socket: what comes is answered, by one or the other."""

import asyncio
import socket
from collections.abc import Callable
from typing import Any

import pytest
from tests.agent_worker.fake_release import FakeRelease
from tests.agent_worker.small_release import Bundle

from lamplighter_agent.serve import server as serving
from lamplighter_agent.serve.api import Api
from lamplighter_agent.serve.server import Server

GET = b"GET /v2/health/live HTTP/1.1\r\nHost: x\r\n\r\n"
POST_HEAD = b"POST /v2/repository/index HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\n\r\n"


MakeServer = Callable[[], Server]


@pytest.fixture
def make_server(bundle: Bundle, listening: socket.socket) -> MakeServer:
    return lambda: Server(Api(FakeRelease(bundle.manifest)), [listening])


def connect(listening: socket.socket, data: bytes) -> socket.socket:
    client = socket.create_connection(listening.getsockname())
    client.sendall(data)
    client.setblocking(False)
    return client


async def read_head(client: socket.socket) -> bytes:
    raw = b""
    while b"\r\n\r\n" not in raw:
        part = await asyncio.wait_for(asyncio.get_running_loop().sock_recv(client, 4096), 5)
        assert part, "the connection was closed without an answer"
        raw += part
    return raw


@pytest.mark.parametrize("turns", range(6))
async def test_a_connection_that_comes_with_the_drain_is_answered(
    make_server: MakeServer, listening: socket.socket, turns: int
) -> None:
    old, new = make_server(), make_server()
    await old.serve()
    with connect(listening, GET) as client:
        for _ in range(turns):  # the drain comes before, in and after the turn of the accept
            await asyncio.sleep(0)
        await old.drain()
        await new.serve()
        assert (await read_head(client)).startswith(b"HTTP/1.1 200")
    await new.close()


async def test_an_idle_connection_is_answered_once_more_then_closed(
    make_server: MakeServer, listening: socket.socket
) -> None:
    server = make_server()
    await server.serve()
    with connect(listening, GET) as client:
        assert b"connection: close" not in await read_head(client)
        draining = asyncio.create_task(server.drain())
        done, _ = await asyncio.wait({draining}, timeout=0.15)
        assert not done
        client.sendall(GET)
        assert b"connection: close" in await read_head(client)
        await asyncio.wait_for(draining, 2)


async def test_an_idle_connection_is_closed_after_the_grace(
    make_server: MakeServer, listening: socket.socket
) -> None:
    server = make_server()
    await server.serve()
    with connect(listening, GET) as client:
        await read_head(client)
        await asyncio.wait_for(server.drain(0.1), 2)
        assert await asyncio.get_running_loop().sock_recv(client, 1) == b""


async def test_closing_answers_a_request_under_way(
    make_server: MakeServer, listening: socket.socket
) -> None:
    server = make_server()
    await server.serve()
    with connect(listening, POST_HEAD + b"{") as client:
        await until_connected(server)
        closing = asyncio.create_task(server.close())
        await asyncio.wait({closing}, timeout=0.1)
        client.sendall(b"   ")
        assert (await read_head(client)).startswith(b"HTTP/1.1 200")
        await asyncio.wait_for(closing, 2)


async def test_a_request_that_never_ends_does_not_hold_the_server(
    make_server: MakeServer, listening: socket.socket, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(serving, "CLOSE_GRACE_S", 0.1)
    server = make_server()
    await server.serve()
    with connect(listening, POST_HEAD + b"{"):
        await until_connected(server)
        await asyncio.wait_for(server.close(), 2)
        assert not server._handler.connections


async def until_connected(server: Server) -> None:
    while not server._handler.connections:
        await asyncio.sleep(0.01)


async def test_a_drain_that_is_broken_off_leaves_connections_open(
    make_server: MakeServer, listening: socket.socket
) -> None:
    server = make_server()
    await server.serve()
    with connect(listening, GET) as client:
        await read_head(client)
        draining = asyncio.create_task(server.drain())
        await asyncio.wait({draining}, timeout=0.05)
        draining.cancel()
        await server.serve()
        client.sendall(GET)
        assert b"connection: close" not in await read_head(client)
    await server.close()


class OutOfDescriptors:
    """A listening socket whose first accept fails as in a process with too many open files."""

    def __init__(self, listening: socket.socket) -> None:
        self._listening = listening
        self._failed = False
        self.fileno = listening.fileno
        self.setblocking = listening.setblocking

    def accept(self) -> tuple[socket.socket, Any]:
        if not self._failed:
            self._failed = True
            raise OSError(24, "Too many open files")
        return self._listening.accept()


async def test_accepting_pauses_when_descriptors_run_out(
    bundle: Bundle, listening: socket.socket, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(serving, "_ACCEPT_PAUSE_S", 0.05)
    scarce: Any = OutOfDescriptors(listening)
    server = Server(Api(FakeRelease(bundle.manifest)), [scarce])
    await server.serve()
    with connect(listening, GET) as client:
        assert (await read_head(client)).startswith(b"HTTP/1.1 200")
    await server.close()
