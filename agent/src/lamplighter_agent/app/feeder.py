"""Keeps the process of sources and sinks up, beside the supervisor."""

import asyncio
import logging
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import msgspec

from lamplighter_protocol.errors import LamplighterError
from lamplighter_protocol.reported import Failure

COMMAND: Final = (sys.executable, "-m", "lamplighter_agent.app.feeding")
#: A process that has run for so long is started again after the first pause.
_SETTLED_S: Final = 60.0
_LOG = logging.getLogger(__name__)


class Feeder:
    """Starts the process again whenever it ends, with growing pauses.

    Args:
        sources: The `[[source]]` tables.
        sinks: The `[[sink]]` tables.
        status: The agent's status.json, which says where models answer.
        tell: Takes what goes wrong there.
        first_pause_s: The pause before the second start; it doubles.
        longest_pause_s: The longest pause.
    """

    def __init__(
        self,
        sources: Sequence[Mapping[str, Any]],
        sinks: Sequence[Mapping[str, Any]],
        status: Path,
        tell: Callable[[LamplighterError], None],
        *,
        first_pause_s: float,
        longest_pause_s: float,
    ) -> None:
        self._tables = msgspec.json.encode({"source": sources, "sink": sinks})
        self._command = (*COMMAND, str(status))
        self._tell = tell
        self._first_pause_s = first_pause_s
        self._longest_pause_s = longest_pause_s

    async def run(self) -> None:
        """Keep it up until cancelled."""
        loop = asyncio.get_running_loop()
        pause_s = self._first_pause_s
        while True:
            started_mono = loop.time()
            await self._run_once()
            if loop.time() - started_mono > _SETTLED_S:
                pause_s = self._first_pause_s
            await asyncio.sleep(pause_s)
            pause_s = min(2 * pause_s, self._longest_pause_s)

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
        except ValueError as error:
            _LOG.warning("the process of the sources speaks nonsense: %s", error)
        finally:
            if process.returncode is None:
                process.kill()
            await process.wait()

    def _take(self, line: bytes) -> None:
        failure = msgspec.json.decode(line, type=Failure)
        self._tell(LamplighterError(failure.code, failure.sentence))
