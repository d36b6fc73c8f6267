"""A named pipe by which the agent is told to look; to look all the time would cost power."""

import asyncio
import contextlib
import logging
import os
from collections.abc import Callable
from pathlib import Path
from typing import Final

_MODE: Final = 0o600
_LOG = logging.getLogger(__name__)


async def answer(path: Path, look: Callable[[], None]) -> None:
    """Call `look` whenever somebody rings, until cancelled.

    Without a pipe the agent looks only when it does so anyway.
    """
    try:
        pipe = _hang(path)
    except OSError as error:
        _LOG.warning("there is no bell at %s: %s", path, error)
        return

    def rung() -> None:
        os.read(pipe, 4096)
        look()

    loop = asyncio.get_running_loop()
    loop.add_reader(pipe, rung)
    try:
        await loop.create_future()
    finally:
        loop.remove_reader(pipe)
        os.close(pipe)


def _hang(path: Path) -> int:
    path.unlink(missing_ok=True)
    os.mkfifo(path, _MODE)
    return os.open(path, os.O_RDWR | os.O_NONBLOCK)  # to write too, so that it has no end


def ring(path: Path) -> None:
    """Ring, if an agent answers; one that does not run looks when it starts."""
    with contextlib.suppress(OSError):
        pipe = os.open(path, os.O_WRONLY | os.O_NONBLOCK | os.O_NOFOLLOW)
        with os.fdopen(pipe, "wb", buffering=0) as opened:
            opened.write(b"\n")
