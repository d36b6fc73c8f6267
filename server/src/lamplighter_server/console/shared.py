"""One reading for many readers: the database is asked once, however many tabs are open."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

T = TypeVar("T")


class Shared(Generic[T]):
    """A value that is read again when somebody asks and the last reading is old.

    Nobody asking costs nothing. The reading is a task of its own, so that a reader who leaves
    does not interrupt it for the others; a reading that fails fails for all who asked, and the
    next one is tried after the interval.
    """

    def __init__(self, read: Callable[[], Awaitable[T]], interval_s: float) -> None:
        self._read = read
        self._interval_s = interval_s
        self._reading: asyncio.Task[T] | None = None
        self._old_at_mono = 0.0

    async def latest(self) -> T:
        """The value, begun to be read at most `interval_s` ago.

        Raises:
            Exception: What the reading raised.
        """
        loop = asyncio.get_running_loop()
        if self._reading is None or (self._reading.done() and loop.time() >= self._old_at_mono):
            self._old_at_mono = loop.time() + self._interval_s
            self._reading = loop.create_task(_run(self._read))
        return await asyncio.shield(self._reading)


async def _run(read: Callable[[], Awaitable[T]]) -> T:
    return await read()
