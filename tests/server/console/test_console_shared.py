import asyncio

import pytest

from lamplighter_server.console.shared import Shared


class Source:
    def __init__(self) -> None:
        self.readings = 0
        self.go_on = asyncio.Event()
        self.fault: Exception | None = None

    async def read(self) -> int:
        self.readings += 1
        await self.go_on.wait()
        if self.fault is not None:
            raise self.fault
        return self.readings


async def test_many_readers_share_one_reading() -> None:
    source = Source()
    shared = Shared(source.read, interval_s=60)
    readers = [asyncio.create_task(shared.latest()) for _ in range(50)]
    await asyncio.sleep(0)
    source.go_on.set()
    assert set(await asyncio.gather(*readers)) == {1}
    assert await shared.latest() == 1
    assert source.readings == 1


async def test_an_old_reading_is_made_anew_and_only_on_demand() -> None:
    source = Source()
    source.go_on.set()
    shared = Shared(source.read, interval_s=0)
    assert source.readings == 0
    assert [await shared.latest(), await shared.latest()] == [1, 2]


async def test_a_reader_who_leaves_does_not_interrupt_the_others() -> None:
    source = Source()
    shared = Shared(source.read, interval_s=60)
    leaving = asyncio.create_task(shared.latest())
    staying = asyncio.create_task(shared.latest())
    await asyncio.sleep(0)
    leaving.cancel()
    with pytest.raises(asyncio.CancelledError):
        await leaving
    source.go_on.set()
    assert await staying == 1


async def test_a_fault_reaches_all_who_asked_and_the_next_reading_is_new() -> None:
    source = Source()
    source.fault = OSError("gone")
    source.go_on.set()
    shared = Shared(source.read, interval_s=0)
    with pytest.raises(OSError, match="gone"):
        await shared.latest()
    source.fault = None
    assert await shared.latest() == 2
