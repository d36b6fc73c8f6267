import asyncio
import datetime as dt
import gc
import ssl
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from tests.agent.tls import Authority, TlsBroker

from lamplighter_agent.link.mqtt import Broker, Link
from lamplighter_agent.link.tls import check_dates, device_context
from lamplighter_protocol.errors import LamplighterError
from lamplighter_protocol.topics import Topics

# paho leaves the socket of a failed handshake to the garbage collector.
pytestmark = pytest.mark.filterwarnings(
    "ignore:Exception ignored in. <ssl.SSLSocket:pytest.PytestUnraisableExceptionWarning"
)
TOPICS = Topics("main")
NOW = dt.datetime.now(dt.timezone.utc)


@pytest.fixture(autouse=True)
def _collect_sockets_of_failed_handshakes() -> Iterator[None]:
    yield
    gc.collect()  # here, and not in a later test that does not expect the warning


@pytest.fixture
def make_broker(
    tmp_path: Path, free_port: Callable[[], int], require_program: Callable[..., str]
) -> Iterator[Callable[[int], TlsBroker]]:
    made: list[TlsBroker] = []

    def make(server_days: int) -> TlsBroker:
        program = require_program("mosquitto")
        made.append(TlsBroker(program, tmp_path, free_port(), server_days=server_days))
        made[-1].start()
        return made[-1]

    yield make
    for broker in made:
        broker.stop()


class Connection:
    def __init__(self, port: int, tls: ssl.SSLContext | None, name: str = "pi-1") -> None:
        self.up = asyncio.Event()
        self.messages: asyncio.Queue[tuple[str, bytes]] = asyncio.Queue()
        broker = Broker(
            host="127.0.0.1",
            port=port,
            identifier=name,
            presence=TOPICS.device(name, "presence"),
            tls=tls,
            now_utc=lambda: dt.datetime.now(dt.timezone.utc),
        )
        self.link = Link(broker, lambda *message: self.messages.put_nowait(message), self.up.set)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[Link]:
        task = asyncio.create_task(self.link.run())
        try:
            yield self.link
        finally:
            task.cancel()
            await asyncio.wait({task})

    async def until_up(self) -> None:
        await asyncio.wait_for(self.up.wait(), 20)
        self.up.clear()

    async def next(self) -> tuple[str, bytes]:
        return await asyncio.wait_for(self.messages.get(), 20)


async def test_presence_is_born_said_goodbye_and_left_as_a_will(mosquitto: int) -> None:
    watcher = Connection(mosquitto, None, "watcher")
    topic = TOPICS.device("pi-1", "presence")
    async with watcher.running() as watching:
        await watcher.until_up()
        watching.subscribe([topic], qos=1)
        device = Connection(mosquitto, None)
        async with device.running() as link:
            await device.until_up()
            assert await watcher.next() == (topic, b"online")
            await link.say_goodbye()
            assert await watcher.next() == (topic, b"offline")
        device = Connection(mosquitto, None)
        async with device.running():
            await device.until_up()
            assert await watcher.next() == (topic, b"online")
        assert await watcher.next() == (topic, b"offline")


async def test_large_messages_pass_through_tls_in_both_directions(
    make_broker: Callable[[int], TlsBroker], tmp_path: Path
) -> None:
    broker = make_broker(1)
    tls = device_context(broker.ca, *broker.authority.issue("pi-1", tmp_path))
    device = Connection(broker.port, tls)
    payloads = [bytes([n]) * 65_536 * n for n in range(1, 6)]
    async with device.running() as link:
        await device.until_up()
        link.subscribe(["a/#"], qos=1)
        for n, payload in enumerate(payloads):
            assert link.publish(f"a/{n}", payload)
        assert [(await device.next())[1] for _ in payloads] == payloads


async def test_a_lost_broker_is_found_again(
    make_broker: Callable[[int], TlsBroker], tmp_path: Path
) -> None:
    broker = make_broker(1)
    tls = device_context(broker.ca, *broker.authority.issue("pi-1", tmp_path))
    device = Connection(broker.port, tls)
    async with device.running() as link:
        await device.until_up()
        broker.stop()
        while link.connected:
            await asyncio.sleep(0.02)
        assert not link.publish("a", b"x")
        broker.start()
        await device.until_up()
        assert link.publish("a", b"x")


async def test_an_expired_broker_certificate_is_refused(
    make_broker: Callable[[int], TlsBroker], tmp_path: Path
) -> None:
    broker = make_broker(-1)
    tls = device_context(broker.ca, *broker.authority.issue("pi-1", tmp_path))
    device = Connection(broker.port, tls)
    async with device.running() as link:
        while link.problem is None:
            await asyncio.sleep(0.02)
        assert "SERVER_UNTRUSTED" in link.problem
        assert not link.connected


async def test_a_broker_of_another_authority_is_refused(
    make_broker: Callable[[int], TlsBroker], tmp_path: Path
) -> None:
    broker = make_broker(1)
    other = tmp_path / "other"
    other.mkdir()
    tls = device_context(Authority().save(other), *broker.authority.issue("pi-1", tmp_path))
    device = Connection(broker.port, tls)
    async with device.running() as link:
        while link.problem is None:
            await asyncio.sleep(0.02)
        assert "CERTIFICATE_VERIFY_FAILED" in link.problem


def test_a_certificate_without_dates_is_refused() -> None:
    with pytest.raises(LamplighterError, match="SERVER_UNTRUSTED"):
        check_dates({}, NOW)
