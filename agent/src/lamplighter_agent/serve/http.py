"""HTTP/1.1 on one connection: requests in, answers out, in order.

A model answers in the loop's own thread (there is one core to win), so a request needs no task and
no queue: it is answered before the next one is read. What is slow or too large is bounded here.
"""

import asyncio
import http
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, NamedTuple
from urllib.parse import unquote

import httptools
import msgspec

from lamplighter_protocol.errors import LamplighterError

MAX_BODY_BYTES: Final = 16 * 1024 * 1024
MAX_HEAD_BYTES: Final = 64 * 1024
#: How much a client may still send that was refused.
MAX_DROPPED_BYTES: Final = 2 * MAX_BODY_BYTES

_LOG = logging.getLogger(__name__)
_REASONS: Final = {status.value: status.phrase.encode() for status in http.HTTPStatus}
_JSON: Final = b"application/json"


class Request(NamedTuple):
    """A whole request."""

    method: str
    path: str
    headers: dict[bytes, bytes]
    """By name in lower case; of several with one name the last."""
    body: bytes
    started_mono: float
    """When it began (time.perf_counter)."""


@dataclass(frozen=True)
class Answer:
    """An HTTP answer."""

    status: int
    body: bytes
    kind: bytes = _JSON
    headers: tuple[tuple[bytes, bytes], ...] = ()


def json_answer(document: object, status: int = 200) -> Answer:
    """An answer in JSON."""
    return Answer(status, msgspec.json.encode(document))


def error_answer(error: LamplighterError) -> Answer:
    """An error as both protocols write it."""
    return json_answer({"error": str(error)}, error.entry.http_status)


class Handler:
    """What answers, and the connections on which it does.

    Attributes:
        answer: Gives the answer to a request; raises no expected error.
        connections: Those that are open.
        draining: While set, every answer closes its connection.
    """

    def __init__(self, answer: Callable[[Request], Answer]) -> None:
        self.answer = answer
        self.connections: set[Connection] = set()
        self.draining = False


class Connection(asyncio.Protocol):
    """One connection.

    Attributes:
        waits_since_mono: When the client last began something or left it, by the loop's clock.
    """

    transport: asyncio.Transport

    def __init__(self, handler: Handler) -> None:
        self._handler = handler
        self._parser = httptools.HttpRequestParser(self)
        self._now_mono = asyncio.get_running_loop().time
        self.waits_since_mono = self._now_mono()
        self._in_head = self._in_request = self._is_full = False
        self._refused = self._lingers = False
        self._dropped_bytes = 0

    @property
    def is_idle(self) -> bool:
        """Whether the client has asked nothing and has read all that was answered."""
        return not (self._in_request or self._is_full or self._lingers)

    # asyncio

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """See asyncio.Protocol."""
        assert isinstance(transport, asyncio.Transport)  # noqa: S101 - of a stream socket
        self.transport = transport
        self._handler.connections.add(self)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - asyncio's signature
        """See asyncio.Protocol."""
        self._handler.connections.discard(self)

    def data_received(self, data: bytes) -> None:
        """See asyncio.Protocol."""
        if self._lingers:
            self._drop(data)
            return
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            self.transport.close()  # it was answered as if it had not asked for another protocol
        except httptools.HttpParserCallbackError:
            _LOG.exception("a request could not be answered")
            self.transport.abort()
        except httptools.HttpParserError as error:
            self._refuse(LamplighterError("REQUEST_INVALID", f"This is no HTTP: {error}."))
        if self._in_head:
            self._head_bytes += len(data)
            if self._head_bytes > MAX_HEAD_BYTES:
                self._refuse_size("head", MAX_HEAD_BYTES)

    def pause_writing(self) -> None:
        """The client does not read its answers: read no more of its requests."""
        self._is_full = True
        self.waits_since_mono = self._now_mono()
        self.transport.pause_reading()

    def resume_writing(self) -> None:
        """See asyncio.Protocol."""
        self._is_full = False
        self.transport.resume_reading()

    # httptools

    def on_message_begin(self) -> None:
        """A request begins."""
        self._started_mono = time.perf_counter()
        self.waits_since_mono = self._now_mono()
        self._in_head = self._in_request = True
        self._refused = self._lingers or self.transport.is_closing()
        self._url = b""
        self._headers: dict[bytes, bytes] = {}
        self._parts: list[bytes] = []
        self._head_bytes = self._body_bytes = 0

    def on_url(self, url: bytes) -> None:
        """A part of the target."""
        self._url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        """One header."""
        self._headers[name.lower()] = value

    def on_headers_complete(self) -> None:
        """The head is there."""
        self._in_head = False
        announced = self._headers.get(b"content-length", b"0")
        if self._refused:
            return
        if announced.isdigit() and int(announced) > MAX_BODY_BYTES:
            self._refuse_size("body", MAX_BODY_BYTES)
        elif self._headers.get(b"expect", b"").lower() == b"100-continue":
            self.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")

    def on_body(self, body: bytes) -> None:
        """A part of the body."""
        if self._refused:
            return
        self._parts.append(body)
        self._body_bytes += len(body)
        if self._body_bytes > MAX_BODY_BYTES:
            self._refuse_size("body", MAX_BODY_BYTES)

    def on_message_complete(self) -> None:
        """The request is whole: answer it."""
        if not self._refused:
            self._answer()
        self._in_request = False
        self.waits_since_mono = self._now_mono()

    # The answers

    def _answer(self) -> None:
        method = self._parser.get_method().decode()
        body = self._parts[0] if len(self._parts) == 1 else b"".join(self._parts)
        request = Request(method, _path_of(self._url), self._headers, body, self._started_mono)
        self._write(self._handler.answer(request), with_body=method != "HEAD")

    def _refuse_size(self, what: str, limit: int) -> None:
        self._refuse(
            LamplighterError("MESSAGE_TOO_LARGE", f"The {what} has more than {limit} bytes.")
        )

    def _drop(self, data: bytes) -> None:
        """What follows a refusal is read: a client that still sends would not hear it else."""
        self._dropped_bytes += len(data)
        if self._dropped_bytes > MAX_DROPPED_BYTES:
            self.transport.abort()

    def _refuse(self, error: LamplighterError) -> None:
        if not (self._refused or self.transport.is_closing()):
            self._refused, self._parts = True, []
            self._write(error_answer(error), with_body=True)

    def _write(self, answer: Answer, *, with_body: bool) -> None:
        stays = (
            not self._handler.draining
            and not self._refused
            and self._parser.should_keep_alive()
            and self._parser.get_http_version() != "1.0"
        )
        head = b"HTTP/1.1 %d %b\r\ncontent-type: %b\r\ncontent-length: %d\r\n" % (
            answer.status,
            _REASONS[answer.status],
            answer.kind,
            len(answer.body),
        )
        for header in answer.headers:
            head += b"%b: %b\r\n" % header
        end = b"\r\n" if stays else b"connection: close\r\n\r\n"
        self.transport.write(head + end + (answer.body if with_body else b""))
        if self._refused:
            self._lingers = True
            self.transport.write_eof()
        elif not stays:
            self.transport.close()


def _path_of(url: bytes) -> str:
    """The path of a request's target; empty if it has none."""
    try:
        return unquote((httptools.parse_url(url).path or b"").decode())
    except (httptools.HttpParserError, UnicodeDecodeError):
        return ""
