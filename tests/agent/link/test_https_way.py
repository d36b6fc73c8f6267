"""Ranges over real TLS, from a server that may misbehave."""

import asyncio
import random
import ssl
from collections.abc import AsyncIterator, Callable
from datetime import datetime, timedelta, timezone
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.agent.allowances import Allowances
from tests.agent.tls import Authority

from lamplighter_agent.link.https_way import REQUEST_CHUNKS, HttpsWay, requests
from lamplighter_agent.link.tls import device_context
from lamplighter_agent.link.wanted import Wanted
from lamplighter_agent.ports.transport import ChunkSink
from lamplighter_agent.store.blobs import BlobStore, PartialBlob
from lamplighter_protocol.blobs import DOOR_PATH, describe, split
from lamplighter_protocol.canonical import sha256
from lamplighter_protocol.errors import LamplighterError
from lamplighter_protocol.names import CHUNK_SIZE_BYTES
from lamplighter_protocol.sealed import ChunkCipher

RAW = random.Random(7).randbytes(20 * CHUNK_SIZE_BYTES + 100)
BLOB = describe(RAW)
Spoil = Callable[[bytes, bytes], bytes]


class Server:
    """Serves one file by its digest, in ranges, to clients with a certificate."""

    def __init__(self, folder: Path) -> None:
        self.authority = Authority()
        self._folder = folder
        self.files = {BLOB.sha256: RAW}
        self.asked: list[range] = []
        self.connections = 0
        self.serving: set[asyncio.Task[None] | None] = set()
        self.spoil: Spoil = lambda head, body: head + body
        self.stop_after: int | None = None
        self.port = 0

    async def start(self) -> asyncio.Server:
        certificate, key = self.authority.issue("server", self._folder)
        tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        tls.load_cert_chain(certificate, key)
        tls.load_verify_locations(self.authority.save(self._folder))
        tls.verify_mode = ssl.CERT_REQUIRED
        server = await asyncio.start_server(self._serve, "127.0.0.1", 0, ssl=tls)
        self.port = server.sockets[0].getsockname()[1]
        return server

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self.serving.add(asyncio.current_task())
        try:
            while True:
                request = (await reader.readuntil(b"\r\n\r\n")).decode()
                if len(self.asked) == self.stop_after:
                    break
                writer.write(self._answer(request))
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError, ssl.SSLError):
            pass
        finally:
            writer.transport.abort()

    def _answer(self, request: str) -> bytes:
        digest = request.split()[1].removeprefix(DOOR_PATH)
        first, last = request.partition("bytes=")[2].split("\r\n")[0].split("-")
        span, raw = range(int(first), int(last) + 1), self.files[digest]
        self.asked.append(span)
        body = raw[span.start : span.stop]
        head = (
            f'HTTP/1.1 206 Partial Content\r\nETag: "{digest}"\r\n'
            f"Content-Range: bytes {span.start}-{span.stop - 1}/{len(raw)}\r\n"
            f"Content-Length: {len(body)}\r\n\r\n"
        )
        return self.spoil(head.encode(), body)


class Fixture:
    def __init__(self, server: Server, folder: Path) -> None:
        self.server = server
        self._folder = folder
        self.store = BlobStore(folder / "blobs")
        self.partial: PartialBlob = self.store.partial(BLOB)
        self.allowances = Allowances()
        self.now_utc = datetime.now(timezone.utc)

    async def pull(self, sink: ChunkSink | None = None) -> None:
        certificate, key = self.server.authority.issue("cam-1", self._folder)
        way = HttpsWay(
            f"https://127.0.0.1:{self.server.port}",
            device_context(self._folder / "ca.pem", certificate, key),
            lambda: self.now_utc,
            patience_s=0.5,
        )
        await way.pull(sink or self.partial, self.allowances)

    def is_whole(self) -> bool:
        self.partial.finish()
        return self.store.verified(BLOB.sha256).read_bytes() == RAW


@pytest.fixture
async def door(tmp_path: Path) -> AsyncIterator[Fixture]:
    server = Server(tmp_path)
    listening = await server.start()
    fixture = Fixture(server, tmp_path)
    yield fixture
    fixture.partial.close()
    listening.close()
    await listening.wait_closed()
    await asyncio.gather(*filter(None, server.serving))


async def test_a_file_comes_in_ranges_over_one_connection(door: Fixture) -> None:
    await door.pull()
    assert door.is_whole()
    assert door.server.connections == 1
    assert [len(span) for span in door.server.asked[:2]] == [REQUEST_CHUNKS * CHUNK_SIZE_BYTES] * 2
    assert sum(map(len, door.server.asked)) == len(RAW)
    assert door.allowances.arrived_bytes == sum(door.allowances.admitted) == len(RAW)


async def test_only_what_is_lacking_is_asked_for(door: Fixture) -> None:
    for number, chunk in enumerate(split(RAW)):
        if number not in {2, 3, 20}:
            door.partial.write(number, chunk)
    await door.pull()
    assert door.is_whole()
    size = CHUNK_SIZE_BYTES
    assert door.server.asked == [range(2 * size, 4 * size), range(20 * size, len(RAW))]


async def test_it_goes_on_where_it_was_interrupted(door: Fixture) -> None:
    door.server.stop_after = 1
    with pytest.raises(LamplighterError, match="FETCH_STALLED"):
        await door.pull()
    door.partial.close()
    door.partial = door.store.partial(BLOB)  # as after a reboot
    assert door.partial.lacking == set(range(REQUEST_CHUNKS, BLOB.chunk_count))
    door.server.stop_after = None
    await door.pull()
    assert door.is_whole()
    assert sum(map(len, door.server.asked)) == len(RAW), "nothing came twice"


async def test_sealed_chunks_are_opened_on_the_way(door: Fixture) -> None:
    cipher = ChunkCipher(b"k" * 32, BLOB.sha256, BLOB.size_bytes)
    wire = b"".join(cipher.seal(number, chunk) for number, chunk in enumerate(split(RAW)))
    door.server.files = {sha256(wire): wire}
    await door.pull(Wanted(BLOB, sha256(wire), cipher).sink(door.partial))
    assert door.is_whole()
    assert door.allowances.arrived_bytes == len(wire)


async def test_an_empty_file_needs_no_connection(door: Fixture) -> None:
    empty = door.store.partial(describe(b""))
    await door.pull(empty)
    empty.close()
    assert door.server.connections == 0


def _replace(old: bytes, new: bytes) -> Spoil:
    return lambda head, body: head.replace(old, new) + body


@pytest.mark.parametrize(
    ("spoil", "code"),
    [
        (_replace(b"206", b"200"), "FETCH_REFUSED"),
        (_replace(b"206 Partial Content", b"302 Found\r\nLocation: /x"), "FETCH_REFUSED"),
        (_replace(b"206", b"500"), "FETCH_STALLED"),
        (_replace(b"HTTP/1.1", b"SSH-2.0"), "FETCH_STALLED"),
        (_replace(b"bytes 0-", b"bytes 1-"), "FETCH_STALLED"),
        (_replace(BLOB.sha256.encode(), b"0" * 64), "FETCH_STALLED"),
        (_replace(b"Content-Length", b"Content-Lengthy"), "FETCH_STALLED"),
        (_replace(b"ETag", b"Transfer-Encoding: chunked\r\nETag"), "FETCH_STALLED"),
        (lambda _head, _body: b"x" * 1_000_000, "FETCH_STALLED"),
        (lambda _head, _body: b"", "FETCH_STALLED"),
        (lambda head, body: head + body[:100_000], "FETCH_STALLED"),
        (lambda head, body: head + body[::-1], "CHUNK_REFUSED"),
    ],
)
async def test_whatever_a_server_answers_a_pull_ends_with_a_code(
    door: Fixture, spoil: Spoil, code: str
) -> None:
    door.server.spoil = spoil
    with pytest.raises(LamplighterError) as refused:
        await door.pull()
    assert refused.value.code == code


async def test_a_server_of_another_authority_is_asked_for_nothing(
    door: Fixture, tmp_path: Path
) -> None:
    Authority().save(tmp_path)
    with pytest.raises(LamplighterError, match="FETCH_STALLED"):
        await door.pull()
    assert door.server.asked == []


async def test_a_server_whose_certificate_has_expired_is_asked_for_nothing(door: Fixture) -> None:
    door.now_utc += timedelta(days=2)
    with pytest.raises(LamplighterError, match=r"FETCH_STALLED.*expired"):
        await door.pull()
    assert door.server.asked == []


async def test_a_closed_port_is_a_stall(door: Fixture, free_port: Callable[[], int]) -> None:
    door.server.port = free_port()
    with pytest.raises(LamplighterError, match="FETCH_STALLED"):
        await door.pull()


async def test_a_pull_ends_between_two_chunks_when_it_is_cancelled(door: Fixture) -> None:
    pulling = asyncio.create_task(door.pull())

    def cancel_first() -> None:
        if len(door.allowances.admitted) == 1:
            pulling.cancel()

    door.allowances.on_admit = cancel_first
    with pytest.raises(asyncio.CancelledError):
        await pulling
    assert len(door.partial.lacking) == BLOB.chunk_count - REQUEST_CHUNKS
    assert door.allowances.arrived_bytes == REQUEST_CHUNKS * CHUNK_SIZE_BYTES


async def test_a_spent_budget_ends_it_and_what_came_stays(door: Fixture) -> None:
    door.allowances = Allowances(most_bytes=CHUNK_SIZE_BYTES)
    with pytest.raises(LamplighterError, match="BUDGET_SPENT"):
        await door.pull()
    assert len(door.partial.lacking) == BLOB.chunk_count - REQUEST_CHUNKS


async def test_a_pace_is_waited_for(door: Fixture) -> None:
    door.allowances = Allowances(waits=[0.05, 0.0, 0.05])
    await door.pull()
    assert door.is_whole()
    assert door.server.connections == 1


@given(st.sets(st.integers(0, 300)))
def test_requests_are_runs_of_what_is_lacking(lacking: set[int]) -> None:
    found = list(requests(lacking))
    assert [number for run in found for number in run] == sorted(lacking)
    assert all(1 <= len(run) <= REQUEST_CHUNKS for run in found)
    joined = [a.stop == b.start and len(a) < REQUEST_CHUNKS for a, b in pairwise(found)]
    assert not any(joined), "no request is cut short"
