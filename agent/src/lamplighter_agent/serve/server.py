"""HTTP on listening sockets that somebody else owns, with a hand-over that drops no request."""

import asyncio
import os
import socket
import time
from collections.abc import Sequence
from typing import Final

import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.server import ServerState

from lamplighter_agent.serve.api import Api

#: An idle connection of a draining worker is closed after this long without a request.
DRAIN_GRACE_S: Final = 10.0
_DRAIN_POLL_S: Final = 0.05
_KEEP_ALIVE_S: Final = 3600
_BACKLOG: Final = 512


class Server:
    """Accepts on the sockets while serving; the sockets themselves stay open in their owner.

    Args:
        api: The application.
        descriptors: File descriptors of listening sockets.
    """

    def __init__(self, api: Api, descriptors: Sequence[int]) -> None:
        self._api = api
        self._descriptors = descriptors
        self._config = uvicorn.Config(
            api,
            http="httptools",
            ws="none",
            lifespan="off",
            log_config=None,
            access_log=False,
            server_header=False,
            date_header=False,
            timeout_keep_alive=_KEEP_ALIVE_S,
        )
        self._config.load()
        self._state = ServerState()
        self._listeners: list[asyncio.Server] = []

    async def serve(self) -> None:
        """Accept from now on."""
        if self._listeners:
            return
        self._api.draining = False
        loop = asyncio.get_running_loop()
        for descriptor in self._descriptors:
            # A duplicate, because closing the listener closes its socket object.
            listening = socket.socket(fileno=os.dup(descriptor))
            listening.setblocking(False)
            self._listeners.append(
                await loop.create_server(self._protocol, sock=listening, backlog=_BACKLOG)
            )

    async def drain(self) -> None:
        """Stop accepting; return when every connection has been answered once more or is idle."""
        self._api.draining = True
        for listener in self._listeners:
            listener.close()
        self._listeners = []
        end_mono = time.monotonic() + DRAIN_GRACE_S
        # uvicorn keeps a plain set of its connections; nothing tells when it becomes empty.
        while self._state.connections and time.monotonic() < end_mono and self._api.draining:  # noqa: ASYNC110
            await asyncio.sleep(_DRAIN_POLL_S)
        if self._api.draining:
            for connection in list(self._state.connections):
                connection.shutdown()

    def _protocol(self) -> asyncio.Protocol:
        return HttpToolsProtocol(config=self._config, server_state=self._state, app_state={})
