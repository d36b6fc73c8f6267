"""What workers print, at a pace that neither the log nor the supervisor suffers from."""

import asyncio
import logging
from collections.abc import Callable
from typing import Final

#: What is read of a worker; one that prints more than that waits for us, which slows only itself.
READ_BYTES_PER_S: Final = 1024 * 1024
#: What reaches the log; beyond it, only a count does.
KEPT_BYTES: Final = 64 * 1024
KEPT_WITHIN_S: Final = 60.0
_READ_BYTES: Final = 64 * 1024
_LOG = logging.getLogger(__name__)


class Pace:
    """Lets so many bytes pass in a second."""

    def __init__(self, bytes_per_s: float) -> None:
        self._bytes_per_s = bytes_per_s
        self._free_mono = 0.0

    async def spend(self, size_bytes: int) -> None:
        """Wait until so many bytes may have passed; a second's worth may pass at once."""
        now_mono = asyncio.get_running_loop().time()
        self._free_mono = max(self._free_mono, now_mono - 1.0) + size_bytes / self._bytes_per_s
        if self._free_mono > now_mono:
            await asyncio.sleep(self._free_mono - now_mono)


async def forward(printed: asyncio.StreamReader, pid: int, write: Callable[[bytes], None]) -> None:
    """Pass on what a worker prints until it has ended; what is too much is dropped and counted.

    Args:
        printed: Its standard error.
        pid: Its process id.
        write: Takes bytes for the log.
    """
    pace = Pace(READ_BYTES_PER_S)
    loop = asyncio.get_running_loop()
    since_mono, kept_bytes, dropped_bytes = loop.time(), 0, 0
    while raw := await printed.read(_READ_BYTES):
        if loop.time() - since_mono > KEPT_WITHIN_S:
            since_mono, kept_bytes = loop.time(), 0
        keep = raw[: KEPT_BYTES - kept_bytes]
        kept_bytes += len(keep)
        write(keep)
        if len(keep) < len(raw) and not dropped_bytes:
            _LOG.warning("worker %d prints too much; the rest is dropped", pid)
        dropped_bytes += len(raw) - len(keep)
        await pace.spend(len(raw))
    if dropped_bytes:
        _LOG.warning("worker %d printed %d bytes that were dropped", pid, dropped_bytes)
