"""HTTP as it comes over a socket: in pieces, in heaps, too slowly and too large."""

import asyncio
import socket
from collections.abc import AsyncIterator

import pytest
from tests.agent_worker.fake_release import FakeRelease
from tests.agent_worker.small_release import Bundle

from lamplighter_agent.serve import server as serving
from lamplighter_agent.serve.api import Api
from lamplighter_agent.serve.http import MAX_HEAD_BYTES
from lamplighter_agent.serve.server import Server

GET = b"GET /v2/health/live HTTP/1.1\r\nHost: x\r\n\r\n"
POST = b"POST /v2/repository/index HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\n"


@pytest.fixture
async def server(bundle: Bundle, listening: socket.socket) -> AsyncIterator[Server]:
    server = Server(Api(FakeRelease(bundle.manifest)), [listening])
    await server.serve()
    yield server
    await server.close()


class Client:
    """A connection on which bytes are said as they stand."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer

    async def hear(self) -> tuple[int, dict[bytes, bytes], bytes]:
        """The next answer: status, headers, body."""
        head = await asyncio.wait_for(self.reader.readuntil(b"\r\n\r\n"), 5)
        first, *lines = head.strip().split(b"\r\n")
        headers = dict(line.split(b": ", 1) for line in lines)
        size = int(headers.get(b"content-length", b"0"))
        return int(first.split()[1]), headers, await self.reader.readexactly(size)

    async def is_closed(self) -> bool:
        return await asyncio.wait_for(self.reader.read(), 5) == b""


@pytest.fixture
async def client(server: Server, listening: socket.socket) -> AsyncIterator[Client]:
    reader, writer = await asyncio.open_connection(*listening.getsockname())
    yield Client(reader, writer)
    writer.close()


async def test_pipelined_requests_are_answered_in_order(client: Client) -> None:
    index = POST + b"\r\n{  }"
    client.writer.write(b"".join([GET, index, GET, index]) * 50)
    for _ in range(100):
        assert (await client.hear())[2] == b'{"live":true,"ready":true}'
        assert (await client.hear())[2].startswith(b"[{")


async def test_a_request_byte_by_byte(client: Client) -> None:
    for byte in POST + b"\r\n{  }":
        client.writer.write(bytes([byte]))
        await client.writer.drain()
        await asyncio.sleep(0)
    assert (await client.hear())[0] == 200


async def test_a_chunked_body(client: Client) -> None:
    client.writer.write(POST.replace(b"Content-Length: 4", b"Transfer-Encoding: chunked") + b"\r\n")
    client.writer.write(b"2\r\n{ \r\n1\r\n}\r\n0\r\n\r\n")
    assert (await client.hear())[0] == 200


async def test_who_asks_whether_to_go_on_is_told_so(client: Client) -> None:
    client.writer.write(POST + b"Expect: 100-continue\r\n\r\n")
    assert (await client.hear())[0] == 100
    client.writer.write(b"{  }")
    assert (await client.hear())[0] == 200


@pytest.mark.parametrize(
    "request_", [GET.replace(b"1.1", b"1.0"), GET.replace(b"Host: x", b"Connection: close")]
)
async def test_who_wants_one_answer_gets_one(client: Client, request_: bytes) -> None:
    client.writer.write(request_ + GET)
    status, headers, _ = await client.hear()
    assert (status, headers[b"connection"]) == (200, b"close")
    assert await client.is_closed()


async def test_a_head_has_no_body(client: Client) -> None:
    client.writer.write(GET.replace(b"GET", b"HEAD") + GET)
    head = await client.reader.readuntil(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200")
    assert (await client.hear())[0] == 200


async def test_another_protocol_is_not_spoken(client: Client) -> None:
    client.writer.write(GET.replace(b"Host: x", b"Connection: Upgrade\r\nUpgrade: h2c"))
    assert (await client.hear())[0] == 200
    assert await client.is_closed()


@pytest.mark.parametrize(
    "head", [b"GET /" + b"a" * 2 * MAX_HEAD_BYTES, b"GET / HTTP/1.1\r\n" + b"a: b\r\n" * 20_000]
)
async def test_a_head_without_end_is_refused(client: Client, head: bytes) -> None:
    for at in range(0, len(head), 4096):
        client.writer.write(head[at : at + 4096])
        await asyncio.sleep(0)
    status, _, body = await client.hear()
    assert (status, body[:28]) == (413, b'{"error":"MESSAGE_TOO_LARGE:')


@pytest.mark.parametrize("target", [b"*", b"//", b"/%ff", b"http://x", b"/v2/models/%00"])
async def test_a_strange_target_is_not_found(client: Client, target: bytes) -> None:
    client.writer.write(GET.replace(b"/v2/health/live", target))
    assert (await client.hear())[0] == 404


@pytest.mark.parametrize("begun", [GET[:20], POST + b"\r\n{"])
async def test_a_client_that_is_too_slow_is_cut_off(
    server: Server, client: Client, monkeypatch: pytest.MonkeyPatch, begun: bytes
) -> None:
    monkeypatch.setattr(serving, "REQUEST_TIMEOUT_S", 0.05)
    client.writer.write(GET)
    await client.hear()
    client.writer.write(begun)
    await asyncio.sleep(0.1)
    server._sweep()
    with pytest.raises((ConnectionError, asyncio.IncompleteReadError)):
        await client.hear()


async def test_an_idle_client_has_more_time(
    server: Server, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(serving, "REQUEST_TIMEOUT_S", 0.0)
    client.writer.write(GET)
    await client.hear()
    server._sweep()
    client.writer.write(GET)
    assert (await client.hear())[0] == 200


async def test_a_client_that_reads_nothing_is_not_read_from(
    server: Server, listening: socket.socket
) -> None:
    loop = asyncio.get_running_loop()
    with socket.socket() as greedy:
        greedy.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        greedy.setblocking(False)
        await loop.sock_connect(greedy, listening.getsockname())

        async def ask_without_end() -> None:
            while True:
                await asyncio.wait_for(loop.sock_sendall(greedy, GET * 1000), 0.15)

        with pytest.raises(asyncio.TimeoutError):  # the answers fill every buffer, then no more
            await ask_without_end()
        (connection,) = server._handler.connections
        assert not connection.is_idle
        assert connection.transport.get_write_buffer_size() < 16 * 1024 * 1024
