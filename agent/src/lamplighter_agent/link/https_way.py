"""Files from the devices' door, in ranges, with the device's certificate."""

import asyncio
import ssl
from collections.abc import Awaitable, Callable, Iterable, Iterator
from datetime import datetime
from typing import Final, TypeVar
from urllib.parse import urlsplit

from lamplighter_agent.link.answers import PARTIAL, check_range, read_head, refusal
from lamplighter_agent.link.tls import check_dates
from lamplighter_agent.ports.transport import Allowance, ChunkSink
from lamplighter_protocol.blobs import DOOR_PATH
from lamplighter_protocol.errors import LamplighterError
from lamplighter_protocol.names import CHUNK_SIZE_BYTES

_T = TypeVar("_T")
_Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]
#: What is asked for at once: as much as may be outstanding on the broker.
REQUEST_CHUNKS: Final = 8
#: A connection that was idle for longer may have been closed by the server.
IDLE_S: Final = 2.0
_MAX_REFUSAL_BYTES: Final = 16 * 1024


class HttpsWay:
    """Implements ports.transport.Way.

    Args:
        url: The devices' door.
        tls: Shows the device's certificate and trusts the pinned authority only.
        now_utc: The best known time.
        patience_s: How long one chunk may take to come.
    """

    def __init__(
        self, url: str, tls: ssl.SSLContext, now_utc: Callable[[], datetime], *, patience_s: float
    ) -> None:
        parts = urlsplit(url)
        self._host, self._port = parts.hostname or "", parts.port or 443
        self._netloc, self._path = parts.netloc, parts.path.rstrip("/") + DOOR_PATH
        self._tls = tls
        self._now_utc = now_utc
        self._patience_s = patience_s

    async def pull(self, sink: ChunkSink, allowance: Allowance) -> None:
        """See ports.transport."""
        visit = _Visit(self._connect)
        try:
            for numbers in requests(sink.lacking):
                await _admitted(sink, numbers, allowance)
                reader, writer = await visit.streams()
                await self._ask(reader, writer, sink, numbers, allowance)
                visit.rest()
        except (
            *(OSError, EOFError, ValueError),
            *(asyncio.LimitOverrunError, asyncio.TimeoutError),
        ) as error:
            raise LamplighterError(
                "FETCH_STALLED",
                f"Blob {sink.blob.sha256[:12]} lacks {len(sink.lacking)} of "
                f"{sink.blob.chunk_count} chunks, and {self._netloc} does not bring them: "
                f"{error or type(error).__name__}.",
            ) from error
        finally:
            visit.close()

    async def _connect(self) -> _Streams:
        reader, writer = await self._soon(
            asyncio.open_connection(
                self._host, self._port, ssl=self._tls, server_hostname=self._host
            )
        )
        try:
            check_dates(writer.get_extra_info("peercert") or {}, self._now_utc())
        except LamplighterError as error:
            writer.transport.abort()
            raise ConnectionError(error.sentence) from error
        return reader, writer

    async def _ask(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        sink: ChunkSink,
        numbers: range,
        allowance: Allowance,
    ) -> None:
        span, size_bytes = _span(sink, numbers), _span(sink, range(sink.blob.chunk_count)).stop
        writer.write(
            f"GET {self._path}{sink.wire_sha256} HTTP/1.1\r\nHost: {self._netloc}\r\n"
            f"Range: bytes={span.start}-{span.stop - 1}\r\n\r\n".encode()
        )
        answer = read_head(await self._soon(reader.readuntil(b"\r\n\r\n")))
        if answer.status != PARTIAL:
            length_bytes = min(answer.length_bytes, _MAX_REFUSAL_BYTES)
            raise refusal(
                answer, await self._soon(reader.readexactly(length_bytes)), self._now_utc()
            )
        check_range(answer, span, size_bytes, sink.wire_sha256)
        for number in numbers:
            payload = await self._soon(reader.readexactly(_size_bytes(sink, number)))
            allowance.arrived(len(payload))
            sink.write(number, payload)

    async def _soon(self, reading: Awaitable[_T]) -> _T:
        return await asyncio.wait_for(reading, self._patience_s)


class _Visit:
    """One connection, made anew after a pause that the server may not have waited for."""

    def __init__(self, connect: Callable[[], Awaitable[_Streams]]) -> None:
        self._connect = connect
        self._streams: _Streams | None = None
        self._rests_mono = 0.0

    async def streams(self) -> _Streams:
        if asyncio.get_running_loop().time() - self._rests_mono > IDLE_S:
            self.close()
        if self._streams is None:
            self._streams = await self._connect()
        return self._streams

    def rest(self) -> None:
        self._rests_mono = asyncio.get_running_loop().time()

    def close(self) -> None:
        if self._streams is not None:
            self._streams[1].transport.abort()
            self._streams = None


def requests(lacking: Iterable[int]) -> Iterator[range]:
    """Runs of consecutive numbers, in order, of at most REQUEST_CHUNKS each."""
    run = range(0)
    for number in sorted(lacking):
        if run and number == run.stop and len(run) < REQUEST_CHUNKS:
            run = range(run.start, number + 1)
        else:
            if run:
                yield run
            run = range(number, number + 1)
    if run:
        yield run


async def _admitted(sink: ChunkSink, numbers: range, allowance: Allowance) -> None:
    while wait_s := allowance.admit(len(_span(sink, numbers))):  # noqa: ASYNC110 - a pace
        await asyncio.sleep(wait_s)


def _size_bytes(sink: ChunkSink, number: int) -> int:
    return sink.blob.chunk_size_bytes(number) + sink.overhead_bytes


def _span(sink: ChunkSink, numbers: range) -> range:
    """Where some chunks are among the bytes that travel."""
    unit = CHUNK_SIZE_BYTES + sink.overhead_bytes
    last = numbers.stop - 1
    return range(numbers.start * unit, last * unit + _size_bytes(sink, last))
