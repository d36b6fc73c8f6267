"""Fetches files over HTTP(S), with bounded reads and one deadline for all of them."""

import http.client
import io
import socket
import ssl
import time
from typing import TYPE_CHECKING, Final
from urllib.parse import quote, urlsplit

from lamplighter_agent.trust.fetch import bounded
from lamplighter_protocol.errors import LamplighterError

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

#: A whole update, however slowly it is fed: slow retrieval is an attack of its own.
DEADLINE_S: Final = 120.0
_NOT_THERE: Final = frozenset({403, 404})
_PATH_CHARACTERS: Final = "/:@!$&'()*+,;=%"


class HttpFetch:
    """Reads from below a base URL.

    Redirects are not followed, and no proxy is used.

    Args:
        url: The base; `http` or `https`.
        deadline_s: The time that all files together may take.
    """

    def __init__(self, url: str, deadline_s: float = DEADLINE_S) -> None:
        parts = urlsplit(url)
        if parts.scheme not in {"http", "https"} or not parts.hostname:
            raise LamplighterError("REQUEST_INVALID", f"{url!r} is not an HTTP address.")
        self._host, self._netloc = parts.hostname, parts.netloc
        self._tls = ssl.create_default_context() if parts.scheme == "https" else None
        self._port = parts.port or (443 if self._tls else 80)
        self._base = parts.path.rstrip("/")
        self._deadline = _Deadline(deadline_s)

    def __call__(self, name: str, max_bytes: int) -> bytes | None:
        """See Fetch."""
        connection = http.client.HTTPConnection(self._netloc)
        try:
            with self._connect() as plain:
                connection.sock = _TimedSocket(plain, self._deadline)
                connection.request("GET", f"{self._base}/{quote(name, safe=_PATH_CHARACTERS)}")
                return _body(connection.getresponse(), name, max_bytes)
        except (OSError, http.client.HTTPException) as error:
            raise LamplighterError(
                "FETCH_STALLED", f"{name} cannot be fetched: {error or type(error).__name__}."
            ) from error

    def _connect(self) -> socket.socket:
        plain = socket.create_connection((self._host, self._port), self._deadline.left_s())
        if self._tls is None:
            return plain
        return self._tls.wrap_socket(plain, server_hostname=self._host)


def _body(response: http.client.HTTPResponse, name: str, max_bytes: int) -> bytes | None:
    if response.status in _NOT_THERE:
        return None
    if response.status != http.client.OK:
        raise LamplighterError("FETCH_STALLED", f"{name}: the answer has {response.status}.")
    raw = bounded(name, response.read(max_bytes + 1), max_bytes)
    if response.length:
        raise LamplighterError("FETCH_STALLED", f"{name} was cut short.")
    return raw


class _Deadline:
    def __init__(self, seconds: float) -> None:
        self._at_mono = time.monotonic() + seconds

    def left_s(self) -> float:
        left_s = self._at_mono - time.monotonic()
        if left_s <= 0:
            raise TimeoutError("it came too slowly")
        return left_s


class _TimedSocket:
    """What http.client needs of a socket; every single read counts against the deadline."""

    def __init__(self, inner: socket.socket, deadline: _Deadline) -> None:
        self._inner = inner
        self._deadline = deadline

    def sendall(self, data: bytes) -> None:
        self._inner.settimeout(self._deadline.left_s())
        self._inner.sendall(data)

    def makefile(self, _mode: str) -> io.BufferedReader:
        return io.BufferedReader(_TimedReader(self._inner, self._deadline))

    def close(self) -> None:
        """Nothing: http.client closes before it reads; whoever connected closes in the end."""


class _TimedReader(io.RawIOBase):
    def __init__(self, inner: socket.socket, deadline: _Deadline) -> None:
        super().__init__()
        self._inner = inner
        self._deadline = deadline

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: "WriteableBuffer", /) -> int:
        self._inner.settimeout(self._deadline.left_s())
        return self._inner.recv_into(buffer)
