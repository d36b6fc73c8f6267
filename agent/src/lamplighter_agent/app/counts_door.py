"""Takes the counts of in-process clients on this board: one window per line, one word back."""

import asyncio
import logging
import socket
from collections.abc import Callable
from datetime import datetime
from pathlib import Path

import msgspec

from lamplighter_agent.app.sockets import listen_unix
from lamplighter_agent.ports.handover import MAX_LINE_BYTES, REFUSED, TAKEN
from lamplighter_agent.store.blobs import BlobStore
from lamplighter_agent.store.journal import Journal
from lamplighter_protocol.bundle import Manifest, decode_manifest
from lamplighter_protocol.errors import LamplighterError
from lamplighter_protocol.telemetry import Window

_LOG = logging.getLogger(__name__)


class CountsDoor:
    """A Unix socket for the agent's user and group.

    Args:
        path: Where.
        journal: Which releases are on this device.
        blobs: Their manifests.
        take: Stores a window that fits one of them.
        now_utc: The best known time.
    """

    def __init__(
        self,
        path: Path,
        journal: Journal,
        blobs: BlobStore,
        take: Callable[[Window], None],
        now_utc: Callable[[], datetime],
    ) -> None:
        self._path = path
        self._journal = journal
        self._blobs = blobs
        self._take = take
        self._now_utc = now_utc
        self._manifests: dict[str, Manifest] = {}

    async def run(self) -> None:
        """Take counts until cancelled. Without a socket, clients keep theirs."""
        unix = socket.socket(socket.AF_UNIX)
        try:
            listen_unix(unix, self._path)
        except (LamplighterError, OSError) as error:
            unix.close()
            _LOG.warning("counts of in-process clients cannot be taken: %s", error)
            return
        server = await asyncio.start_unix_server(self._serve, sock=unix, limit=MAX_LINE_BYTES)
        async with server:
            await server.serve_forever()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while line := await reader.readline():
                writer.write(self._answer(line))
                await writer.drain()
        except (ValueError, ConnectionError) as error:
            _LOG.warning("an in-process client was cut off: %s", error)
        finally:
            writer.close()

    def _answer(self, line: bytes) -> bytes:
        try:
            window = msgspec.json.decode(line, type=Window)
            self._check(window)
        except (LamplighterError, msgspec.MsgspecError, ValueError, RecursionError) as error:
            _LOG.warning("counts of an in-process client are refused: %s", error)
            return REFUSED
        self._take(window)
        return TAKEN

    def _check(self, window: Window) -> None:
        for installed in self._journal.model(window.model).installed:
            if (installed.release, installed.variant) == (window.release, window.variant):
                break
        else:
            raise ValueError(f"{window.model} {window.release} {window.variant} is not installed")
        window.counts.check_shape(self._manifest(installed.manifest_sha256))
        if window.mode != "active" or window.start_utc > self._now_utc():
            raise ValueError("the window has not begun, or is of another mode")

    def _manifest(self, digest: str) -> Manifest:
        if digest not in self._manifests:
            raw = self._blobs.verified(digest).read_bytes()
            self._manifests = {digest: decode_manifest(raw)}  # one is asked for again and again
        return self._manifests[digest]
