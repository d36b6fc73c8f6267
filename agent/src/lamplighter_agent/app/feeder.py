"""Keeps the process of sources and sinks up, beside the supervisor."""

import asyncio
import logging
import sys
from collections.abc import Callable
from typing import Final

import msgspec

from lamplighter_agent.app.config import Settings
from lamplighter_protocol.errors import LamplighterError
from lamplighter_protocol.reported import Failure

COMMAND: Final = (sys.executable, "-m", "lamplighter_agent.app.feeding")
#: A process that has run for so long is started again after the first pause.
_SETTLED_S: Final = 60.0
_LOG = logging.getLogger(__name__)


class Feeder:
    """Starts the process again whenever it ends, with growing pauses.

    Args:
        settings: The tables of sources and sinks, and durations.
        tell: Takes what goes wrong there.
    """

    def __init__(self, settings: Settings, tell: Callable[[LamplighterError], None]) -> None:
        self._tables = msgspec.json.encode({"source": settings.source, "sink": settings.sink})
        self._command = (*COMMAND, str(settings.data.status))
        self._tell = tell
        self._settings = settings

    async def run(self) -> None:
        """Keep it up until cancelled."""
        loop = asyncio.get_running_loop()
        pause_s = self._settings.retry_first_s
        while True:
            started_mono = loop.time()
            await self._run_once()
            if loop.time() - started_mono > _SETTLED_S:
                pause_s = self._settings.retry_first_s
            await asyncio.sleep(pause_s)
            pause_s = min(2 * pause_s, self._settings.retry_max_s)

    async def _run_once(self) -> None:
        process = await asyncio.create_subprocess_exec(
            *self._command, stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE
        )
        assert process.stdin is not None  # noqa: S101 - started with pipes
        assert process.stdout is not None  # noqa: S101
        try:
            process.stdin.write(self._tables)
            process.stdin.close()
            while line := await process.stdout.readline():
                self._take(line)
        except (msgspec.MsgspecError, ValueError, RecursionError) as error:
            _LOG.warning("the process of the sources speaks nonsense: %s", error)
        finally:
            if process.returncode is None:
                process.kill()
            await process.wait()

    def _take(self, line: bytes) -> None:
        failure = msgspec.json.decode(line, type=Failure)
        self._tell(LamplighterError(failure.code, failure.sentence))
