"""Takes copies of requests for a release in shadow, and gives no answer."""

import asyncio
import logging
from collections.abc import Callable
from pathlib import Path

from lamplighter_agent.serve.copies import LENGTH, MAX_COPY_BYTES, Copy, decode, short_path
from lamplighter_protocol.errors import LamplighterError

_LOG = logging.getLogger(__name__)


class ShadowServer:
    """A Unix socket to which the worker of the active release sends copies.

    Args:
        path: Where; only this user may use it.
        take: Answers, counts and compares one copy.
    """

    def __init__(self, path: Path, take: Callable[[Copy], None]) -> None:
        self._path = path
        self._take = take
        self._server: asyncio.Server | None = None

    async def serve(self) -> None:
        """Take copies from now on."""
        with short_path(self._path) as path:
            self._server = await asyncio.start_unix_server(self._read, path)
        self._path.chmod(0o600)

    def close(self) -> None:
        """Take no more."""
        if self._server is not None:
            self._server.close()

    async def _read(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                (size_bytes,) = LENGTH.unpack(await reader.readexactly(LENGTH.size))
                if size_bytes > MAX_COPY_BYTES:
                    raise LamplighterError(
                        "MESSAGE_TOO_LARGE",
                        f"A copy has {size_bytes} bytes, the limit is {MAX_COPY_BYTES}.",
                    )
                self._take(decode(await reader.readexactly(size_bytes)))
                await asyncio.sleep(0)  # what has been read already would keep all else waiting
        except (asyncio.IncompleteReadError, ConnectionError):
            pass  # the active release's worker has ended; the next one connects anew
        except LamplighterError as error:
            _LOG.warning("%s", error)
        finally:
            writer.close()
