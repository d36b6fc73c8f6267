"""Closes windows: takes the counts of workers at the bounds of fixed UTC intervals."""

import asyncio
from collections.abc import Callable, Iterable
from datetime import datetime, timedelta, timezone
from typing import Final

import msgspec

from lamplighter_agent.app.slots import Slot
from lamplighter_protocol.telemetry import Window

#: How often a waiting window looks whether the clock or the length has been changed.
LOOK_S: Final = 1.0


#: How often a release that nobody asks is told of: an idle board costs its link little.
IDLE_EVERY: Final = timedelta(hours=1)


class News:
    """Which windows are worth a message: each with a request, and now and then one without."""

    def __init__(self) -> None:
        self._told_utc: dict[tuple[str, int], datetime] = {}

    def is_news(self, release: tuple[str, int], requests: int, start_utc: datetime) -> bool:
        """Decide on one window of a release that serves.

        Args:
            release: Model and release.
            requests: How many there were in it.
            start_utc: When it began.
        """
        if requests:
            self._told_utc.pop(release, None)  # the next idle one is news at once
            return True
        told_utc = self._told_utc.get(release)
        if told_utc is not None and timedelta(0) <= start_utc - told_utc < IDLE_EVERY:
            return False
        self._told_utc[release] = start_utc
        return True


def window_start(now_utc: datetime, length_s: int) -> datetime:
    """The start of the interval that holds `now_utc`; intervals are counted from 1970."""
    start_s = int(now_utc.timestamp()) // length_s * length_s
    return datetime.fromtimestamp(start_s, timezone.utc)


class Windows:
    """Turns counts into immutable increments.

    Args:
        put: Stores one window for the server.
        length_s: The length in force.
        now_utc: The best known time.
        is_synchronised: Whether that time can be believed.
    """

    def __init__(
        self,
        put: Callable[[Window], None],
        length_s: Callable[[], int],
        now_utc: Callable[[], datetime],
        is_synchronised: Callable[[], bool],
    ) -> None:
        self._put = put
        self._length_s = length_s
        self._now_utc = now_utc
        self._is_synchronised = is_synchronised
        self._news = News()

    async def run(self, slots: Callable[[], Iterable[Slot]]) -> None:
        """Close a window of each slot at every bound, until cancelled."""
        while True:
            length_s = self._length_s()
            start_utc = window_start(self._now_utc(), length_s)
            end_utc = start_utc + timedelta(seconds=length_s)
            if await self._is_over(start_utc, end_utc, length_s):
                await asyncio.gather(*(self._close(slot, start_utc, length_s) for slot in slots()))

    async def _is_over(self, start_utc: datetime, end_utc: datetime, length_s: int) -> bool:
        """Wait for the bound; false if the length is changed or the clock set back before it."""
        while start_utc <= (now_utc := self._now_utc()) < end_utc:
            if self._length_s() != length_s:
                return False
            await asyncio.sleep(min((end_utc - now_utc).total_seconds(), LOOK_S))
        return self._now_utc() >= end_utc

    async def close(self, slot: Slot) -> None:
        """Take what a slot has counted so far: it is drained or about to stop."""
        length_s = self._length_s()
        await self._close(slot, window_start(self._now_utc(), length_s), length_s)

    def take(self, window: Window) -> None:
        """Store a window that a client of this board has counted, under our clock's word."""
        synchronised = self._is_synchronised()
        self._put(msgspec.structs.replace(window, clock_synchronised=synchronised))

    async def _close(self, slot: Slot, start_utc: datetime, length_s: int) -> None:
        if slot.worker is None or not slot.alive or not slot.has_served:
            return
        serves = slot.serving or slot.mode == "shadow"
        counts = await slot.worker.collect()
        # One that only waits, and has answered nothing, is no news at all.
        if counts is None or not (serves or counts.requests):
            return
        release = (slot.model, slot.installed.release)
        if not self._news.is_news(release, counts.requests, start_utc):
            return
        self._put(
            Window(
                model=slot.model,
                release=slot.installed.release,
                variant=slot.installed.variant,
                mode=slot.mode,
                start_utc=start_utc,
                length_s=length_s,
                clock_synchronised=self._is_synchronised(),
                counts=counts,
            )
        )
