"""Ends background tasks for certain."""

import asyncio
from collections.abc import Collection
from typing import Final

AGAIN_S: Final = 0.5


async def cancel(tasks: Collection[asyncio.Task[None]]) -> None:
    """Cancel tasks until all of them have ended.

    Once is not enough: before Python 3.12 `asyncio.wait_for`, which libraries use, drops a
    cancellation that arrives together with the result it waits for.
    """
    pending = set(tasks)
    while pending:
        for task in pending:
            task.cancel()
        _, pending = await asyncio.wait(pending, timeout=AGAIN_S)
