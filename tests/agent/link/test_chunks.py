import asyncio
import random
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from datetime import datetime, timezone
from pathlib import Path

import paho.mqtt.client as paho
import pytest
from paho.mqtt.enums import CallbackAPIVersion
from tests.agent.allowances import Allowances

from lamplighter_agent.link.chunks import MAX_REFUSALS, MAX_STALLS, WINDOW_CHUNKS, ChunkPuller
from lamplighter_agent.link.mqtt import Broker, Link
from lamplighter_agent.store.blobs import BlobStore, PartialBlob
from lamplighter_protocol.blobs import describe, split
from lamplighter_protocol.errors import LamplighterError
from lamplighter_protocol.names import CHUNK_SIZE_BYTES
from lamplighter_protocol.topics import Topics

TOPICS = Topics("main")
RAW = random.Random(7).randbytes(20 * CHUNK_SIZE_BYTES + 100)
BLOB = describe(RAW)
CHUNKS = list(split(RAW))


class FakeBroker:
    """Answers each subscription at once, in the loop; `lose` and `spoil` act on chunk numbers."""

    def __init__(self) -> None:
        self.packets: list[list[str]] = []
        self.subscribed: set[str] = set()
        self.most_outstanding = 0
        self.lose: Callable[[int], bool] = lambda _: False
        self.spoil: Callable[[int], bool] = lambda _: False
        self.puller: ChunkPuller | None = None
        self.arrived: set[int] = set()

    def subscribe(self, topics: Sequence[str], qos: int = 0) -> None:
        self.packets.append(list(topics))
        self.subscribed |= set(topics)
        numbers = {TOPICS.parse_chunk(topic)[1] for topic in self.subscribed}
        self.most_outstanding = max(self.most_outstanding, len(numbers - self.arrived))
        for topic in topics:
            asyncio.get_running_loop().call_soon(self.answer, topic)

    def unsubscribe(self, topics: Sequence[str]) -> None:
        self.subscribed -= set(topics)

    def answer(self, topic: str) -> None:
        number = TOPICS.parse_chunk(topic)[1]
        if topic not in self.subscribed or self.lose(number) or self.puller is None:
            return
        payload = b"bad" if self.spoil(number) else CHUNKS[number]
        self.arrived.add(number)
        self.puller.on_chunk(number, payload)


@pytest.fixture
def partial(tmp_path: Path) -> PartialBlob:
    return BlobStore(tmp_path / "blobs").partial(BLOB)


class Fixture:
    def __init__(self, partial: PartialBlob, allowances: Allowances | None = None) -> None:
        self.broker = FakeBroker()
        self.refused: list[str] = []
        self.partial = partial
        self.allowances = allowances or Allowances()
        self.puller = ChunkPuller(
            partial,
            TOPICS,
            self.broker,
            self.allowances,
            lambda error: self.refused.append(error.code),
            stall_s=0.05,
        )
        self.broker.puller = self.puller

    async def pull(self) -> None:
        try:
            await self.puller.run()
            self.partial.finish()
        finally:
            self.partial.close()


async def test_a_blob_is_pulled_a_few_chunks_at_a_time(partial: PartialBlob) -> None:
    pulled = Fixture(partial)
    await pulled.pull()
    assert pulled.broker.most_outstanding <= WINDOW_CHUNKS
    assert len(pulled.broker.packets) <= 1 + 2 * len(CHUNKS) / WINDOW_CHUNKS
    assert pulled.broker.subscribed == set()


async def test_only_what_is_lacking_is_asked_for(partial: PartialBlob) -> None:
    for number in range(15):
        partial.write(number, CHUNKS[number])
    pulled = Fixture(partial)
    await pulled.pull()
    asked = {TOPICS.parse_chunk(topic)[1] for packet in pulled.broker.packets for topic in packet}
    assert asked == set(range(15, 21))


async def test_lost_chunks_are_asked_for_again(partial: PartialBlob) -> None:
    pulled = Fixture(partial)
    dice = random.Random(7)
    pulled.broker.lose = lambda _: dice.random() < 0.4
    await pulled.pull()


async def test_a_bad_chunk_is_told_and_asked_for_again(partial: PartialBlob) -> None:
    pulled = Fixture(partial)
    bad = {3: 2, 7: 1}

    def spoil(number: int) -> bool:
        bad[number] = bad.get(number, 0) - 1
        return bad[number] >= 0

    pulled.broker.spoil = spoil
    await pulled.pull()
    assert pulled.refused == ["CHUNK_REFUSED"] * 3


async def test_chunks_that_stay_bad_end_the_pull_after_a_bounded_number(
    partial: PartialBlob,
) -> None:
    pulled = Fixture(partial)
    pulled.broker.spoil = lambda number: number == 3
    with pytest.raises(LamplighterError, match="CHUNK_REFUSED"):
        await pulled.pull()
    assert partial.lacking == {3}
    assert len(pulled.refused) <= (MAX_STALLS + 2) * (MAX_REFUSALS + 2)


@pytest.mark.parametrize("arrived", [0, 1, 7, 20])
async def test_a_pull_is_cancelled_between_any_two_chunks(tmp_path: Path, arrived: int) -> None:
    """Nothing stays subscribed, what came is kept, and the next pull asks for the rest only."""
    store = BlobStore(tmp_path / "blobs")
    cut = Fixture(store.partial(BLOB))
    cut.broker.lose = lambda number: number >= arrived
    pulling = asyncio.create_task(cut.pull())
    while len(cut.partial.lacking) > len(CHUNKS) - arrived or not cut.broker.packets:
        await asyncio.sleep(0)
    pulling.cancel()
    with pytest.raises(asyncio.CancelledError):
        await pulling
    assert cut.broker.subscribed == set()

    again = Fixture(store.partial(BLOB))
    await again.pull()
    asked = {TOPICS.parse_chunk(topic)[1] for packet in again.broker.packets for topic in packet}
    assert asked == set(range(arrived, len(CHUNKS)))
    assert store.has(BLOB.sha256)


async def test_what_may_not_come_yet_is_asked_for_later_and_no_stall(
    partial: PartialBlob,
) -> None:
    pulled = Fixture(partial, Allowances(waits=[0.0, *[0.06] * 5, 0.0, 0.06]))
    await pulled.pull()
    assert sum(pulled.allowances.admitted) == len(RAW)
    assert sum(len(packet) for packet in pulled.broker.packets) == len(CHUNKS)


async def test_what_is_paid_for_comes_before_the_budget_ends_the_pull(
    partial: PartialBlob,
) -> None:
    allowances = Allowances(most_bytes=5 * CHUNK_SIZE_BYTES)
    pulled = Fixture(partial, allowances)
    take, pulled.broker.puller = pulled.puller.on_chunk, None

    def answer(topic: str) -> None:
        number = TOPICS.parse_chunk(topic)[1]
        allowances.arrived(len(CHUNKS[number]))
        take(number, CHUNKS[number])

    pulled.broker.answer = answer  # type: ignore[method-assign]
    with pytest.raises(LamplighterError, match="BUDGET_SPENT"):
        await pulled.pull()
    asked = {topic for packet in pulled.broker.packets for topic in packet}
    assert len(asked) == len(CHUNKS) - len(partial.lacking)
    assert allowances.arrived_bytes <= (5 + WINDOW_CHUNKS) * CHUNK_SIZE_BYTES
    assert pulled.broker.subscribed == set()


async def test_silence_is_a_stall(partial: PartialBlob) -> None:
    pulled = Fixture(partial)
    pulled.broker.lose = lambda number: number > 4
    with pytest.raises(LamplighterError, match="FETCH_STALLED"):
        await pulled.pull()
    assert partial.lacking == set(range(5, 21))


async def test_late_repeated_cleared_and_strange_messages_do_no_harm(partial: PartialBlob) -> None:
    pulled = Fixture(partial)
    pulled.puller.on_chunk(0, CHUNKS[0])
    pulling = asyncio.create_task(pulled.pull())
    await asyncio.sleep(0)
    for number, payload in [(0, b""), (99, b"x"), (0, CHUNKS[0]), (0, CHUNKS[0])]:
        pulled.puller.on_chunk(number, payload)
    await pulling
    pulled.puller.on_chunk(1, CHUNKS[1])


def publish_chunks(port: int, numbers: Sequence[int], *, spoil: int | None = None) -> None:
    client = paho.Client(CallbackAPIVersion.VERSION2, protocol=paho.MQTTv5)
    client.connect("127.0.0.1", port)
    client.loop_start()
    for number in numbers:
        payload = CHUNKS[number][::-1] if number == spoil else CHUNKS[number]
        sent = client.publish(TOPICS.chunk(BLOB.sha256, number), payload, qos=1, retain=True)
        sent.wait_for_publish(timeout=10)
    client.disconnect()
    client.loop_stop()


@asynccontextmanager
async def connected(port: int, on_chunk: Callable[[int, bytes], None]) -> AsyncIterator[Link]:
    up = asyncio.Event()
    broker = Broker(
        host="127.0.0.1",
        port=port,
        identifier="pi-1",
        presence=TOPICS.device("pi-1", "presence"),
        tls=None,
        now_utc=lambda: datetime.now(timezone.utc),
    )
    link = Link(broker, lambda topic, raw: on_chunk(TOPICS.parse_chunk(topic)[1], raw), up.set)
    running = asyncio.create_task(link.run())
    await asyncio.wait_for(up.wait(), 10)
    try:
        yield link
    finally:
        await link.say_goodbye()
        running.cancel()
        await asyncio.wait({running})


async def test_a_real_broker_delivers_and_a_bad_chunk_is_healed(
    mosquitto: int, tmp_path: Path
) -> None:
    store = BlobStore(tmp_path / "blobs")
    publish_chunks(mosquitto, range(10), spoil=4)
    refused: list[str] = []
    pullers: list[ChunkPuller] = []

    def on_refused(error: LamplighterError) -> None:
        refused.append(error.code)

    def on_chunk(number: int, raw: bytes) -> None:
        pullers[-1].on_chunk(number, raw)

    async with connected(mosquitto, on_chunk) as link:
        partial = store.partial(BLOB)
        pullers.append(ChunkPuller(partial, TOPICS, link, Allowances(), on_refused, stall_s=0.5))
        with pytest.raises(LamplighterError, match=r"CHUNK_REFUSED|FETCH_STALLED"):
            await pullers[-1].run()
        partial.close()
        assert refused
        publish_chunks(mosquitto, range(21))
        again = store.partial(BLOB)
        assert again.lacking >= {4, *range(10, 21)}
        pullers.append(ChunkPuller(again, TOPICS, link, Allowances(), on_refused, stall_s=1))
        await pullers[-1].run()
        again.finish()
        again.close()
    assert store.verified(BLOB.sha256).read_bytes() == RAW
