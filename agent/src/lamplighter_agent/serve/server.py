"""HTTP on listening sockets that somebody else owns, with a hand-over that drops no request."""

import asyncio
import contextlib
import logging
import socket
import time
from collections.abc import Sequence
from typing import Final

from lamplighter_agent.serve.api import Api
from lamplighter_agent.serve.http import Connection, Handler

#: An idle connection of a draining worker is closed after this long without a request.
DRAIN_GRACE_S: Final = 10.0
#: A request that is under way when the server closes must end within this time.
CLOSE_GRACE_S: Final = 1.0
#: How long a client may take to send one request, or leave its answers unread.
REQUEST_TIMEOUT_S: Final = 30.0
#: How long a connection may stay open without a request.
IDLE_TIMEOUT_S: Final = 3600.0
_POLL_S: Final = 0.02
_SWEEP_S: Final = 5.0
#: How long to accept nothing when the process has no descriptor left.
_ACCEPT_PAUSE_S: Final = 1.0

_LOG = logging.getLogger(__name__)


class Server:
    """Accepts on the sockets while serving; they are shared and stay open.

    `serve`, `drain` and `close` are called one at a time; a drain may be cancelled at any moment
    and serving resumed.

    asyncio.Server is not used: a connection that it has accepted in the turn of the loop in which
    it is closed is lost.

    Args:
        api: What answers.
        listening: Listening sockets, TCP or Unix; made non-blocking.
    """

    def __init__(self, api: Api, listening: Sequence[socket.socket]) -> None:
        self._handler = Handler(api.answer)
        self._listening = listening
        for item in listening:
            item.setblocking(False)
        self._opening: set[asyncio.Task[None]] = set()
        self._accepting = False
        self._sweeping: asyncio.TimerHandle | None = None

    async def serve(self) -> None:
        """Accept from now on."""
        self._handler.draining = False
        self._accepting = True
        for item in self._listening:
            asyncio.get_running_loop().add_reader(item, self._accept, item)
        if self._sweeping is None:
            self._sweep()

    async def drain(self, grace_s: float = DRAIN_GRACE_S) -> None:
        """Stop accepting; return when no connection is open.

        A connection closes with its next answer, or after `grace_s` without a request.
        """
        self._stop_accepting()
        await self._until_closed(grace_s)
        await self.close()

    async def close(self) -> None:
        """Stop accepting, answer what has arrived, close what is idle, return when all is closed.

        A request that has not ended after CLOSE_GRACE_S is cut off.
        """
        self._stop_accepting()
        await self._until_closed(_POLL_S)
        for connection in list(self._handler.connections):
            if connection.is_idle:
                connection.transport.close()
        await self._until_closed(CLOSE_GRACE_S)
        for connection in list(self._handler.connections):
            connection.transport.abort()
        await self._until_closed(_POLL_S)
        if self._sweeping is not None:
            self._sweeping.cancel()
            self._sweeping = None

    def _stop_accepting(self) -> None:
        self._handler.draining = True
        self._accepting = False
        for item in self._listening:
            asyncio.get_running_loop().remove_reader(item)

    async def _until_closed(self, grace_s: float) -> None:
        end_mono = time.monotonic() + grace_s
        while (self._opening or self._handler.connections) and time.monotonic() < end_mono:  # noqa: ASYNC110 - ends are rare
            await asyncio.sleep(_POLL_S)

    def _sweep(self) -> None:
        """Cut off clients that are too slow: one look at all instead of a timer for each."""
        loop = asyncio.get_running_loop()
        now_mono = loop.time()
        for connection in list(self._handler.connections):
            patience_s = IDLE_TIMEOUT_S if connection.is_idle else REQUEST_TIMEOUT_S
            if now_mono - connection.waits_since_mono > patience_s:
                connection.transport.abort()
        self._sweeping = loop.call_later(_SWEEP_S, self._sweep)

    def _accept(self, listening: socket.socket) -> None:
        try:
            connection, _ = listening.accept()
        except (BlockingIOError, InterruptedError, ConnectionAbortedError):
            return  # another worker on the same socket was faster, or the client has gone
        except OSError as error:
            _LOG.warning("no connection can be accepted for %.0f s: %s", _ACCEPT_PAUSE_S, error)
            loop = asyncio.get_running_loop()
            loop.remove_reader(listening)
            loop.call_later(_ACCEPT_PAUSE_S, self._resume, listening)
            return
        opening = asyncio.create_task(self._open(connection))
        self._opening.add(opening)
        opening.add_done_callback(self._opening.discard)

    def _resume(self, listening: socket.socket) -> None:
        if self._accepting:
            asyncio.get_running_loop().add_reader(listening, self._accept, listening)

    async def _open(self, connection: socket.socket) -> None:
        with contextlib.suppress(ConnectionError):  # the client has gone
            await asyncio.get_running_loop().connect_accepted_socket(
                lambda: Connection(self._handler), connection
            )
