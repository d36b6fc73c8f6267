import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any

import aiomqtt
from sqlalchemy import delete, literal, select

from lamplighter_protocol.canonical import sha256
from lamplighter_protocol.telemetry import ONLINE, Event, seal
from lamplighter_server.assignments.models import AssignmentRow
from lamplighter_server.blobs import service as blobs
from lamplighter_server.context import Context
from lamplighter_server.devices import service as devices
from lamplighter_server.devices.models import Certificate, Device
from lamplighter_server.ingest.listener import Listener
from lamplighter_server.outbox import service as outbox
from lamplighter_server.outbox.models import OutboxRow
from lamplighter_server.outbox.relay import relay
from lamplighter_server.telemetry.models import EventRow
from lamplighter_server.trust.models import TrustFileRow


async def put(context: Context, content: bytes) -> str:
    async def parts() -> AsyncIterator[bytes]:
        yield content

    digest = sha256(content)
    await context.objects.put(digest, parts())
    return digest


async def receive(client: aiomqtt.Client, count: int) -> dict[str, bytes]:
    """The next messages by topic."""
    found: dict[str, bytes] = {}
    async with asyncio.timeout(15):
        async for message in client.messages:
            assert isinstance(message.payload, bytes)
            found[str(message.topic)] = message.payload
            if len(found) == count:
                break
    return found


async def load(context: Context, device: str) -> Device:
    async with context.database.transaction() as session:
        return await devices.get(session, device)


async def is_listening(context: Context) -> bool:
    """The broker's figures come through the same subscriptions as everything else."""
    return context.figures.broker_sent_bytes > 0


async def has_stored(context: Context, events: int) -> bool:
    async with context.database.transaction() as session:
        return len((await session.scalars(select(EventRow))).all()) == events


def event(board: Any, sequence: int) -> bytes:
    return seal(
        Event(at_utc=datetime.now(UTC), kind="started"),
        key=board.telemetry_key,
        device=board.id,
        stream="event",
        boot="b1",
        sequence=sequence,
        oldest=0,
    )


async def test_what_commits_is_delivered_in_order_and_then_forgotten(
    site: Any, running: Any, eventually: Any
) -> None:
    context, board = site.context, await site.add_board("cam-1")
    topic = context.topics.device("cam-1", "ack")
    digest = await put(context, b"m" * 70_000)
    async with running(relay(context)), board.client() as device:
        await device.subscribe(topic, qos=1)
        await device.subscribe(context.topics.chunk(digest, 1), qos=1)
        for number in range(100):
            async with context.database.transaction() as session:
                outbox.send(session, topic, b"%d" % number)
        async with context.database.transaction() as session:
            await blobs.want(session, [digest], "rollout:1", datetime.now(UTC))
        async with asyncio.timeout(15):
            for number in range(100):
                assert (await anext(device.messages)).payload == b"%d" % number
            chunk = await anext(device.messages)
        assert chunk.payload == b"m" * (70_000 - 65_536)

        async def is_empty() -> bool:
            async with context.database.transaction() as session:
                return (await session.scalars(select(OutboxRow))).first() is None

        await eventually(is_empty)
        assert context.figures.published_bytes == 190 + 70_000
        async with context.database.transaction() as session:
            await blobs.unwant(session, "rollout:1")
        async with asyncio.timeout(15):
            assert (await anext(device.messages)).payload == b""
        await eventually(is_empty)
    async with board.client() as late:
        await late.subscribe("lamp/#", qos=1)
        await late.publish(context.topics.device("cam-1", "presence"), b"online", qos=1)
        async with context.database.transaction() as session:
            outbox.send(session, topic, b"after")
        async with running(relay(context)):
            assert await receive(late, 1) == {topic: b"after"}  # no chunk is retained any more


async def test_a_broker_that_lost_its_memory_gets_it_back(
    site: Any, running: Any, eventually: Any
) -> None:
    context, board = site.context, await site.add_board("cam-1")
    topics = context.topics
    digest = await put(context, b"chunk")
    async with context.database.transaction() as session:
        session.add(TrustFileRow(name="timestamp.json", body=b"{}", published=True))
        session.add(
            AssignmentRow(
                device="cam-1",
                epoch=1,
                counter=1,
                sha256="0" * 64,
                envelope=b"signed",
                issued_utc=datetime.now(UTC),
            )
        )
        await blobs.want(session, [digest], "rollout:1", datetime.now(UTC))
    expected = {
        topics.trust("timestamp.json"): b"{}",
        topics.device("cam-1", "desired"): b"signed",
        topics.chunk(digest, 0): b"chunk",
    }
    memory = context.settings.folder / "broker" / "mosquitto.db"

    async def holds_all() -> bool:
        try:
            async with board.client() as device:
                await device.subscribe("lamp/#", qos=1)
                found = await receive(device, len(expected) + 1)  # and the index
        except (aiomqtt.MqttError, TimeoutError):
            return False
        return expected.items() <= found.items()

    async with running(relay(context), Listener(context).run()):
        await eventually(holds_all)
        before = site.broker.pid
        site.broker.kill()
        memory.unlink(missing_ok=True)
        async with context.database.transaction() as session:  # meanwhile life goes on
            outbox.send(session, topics.trust("later.json"), b"later", retain=True)
        expected[topics.trust("later.json")] = b"later"
        await eventually(holds_all)
        assert site.broker.pid != before


async def test_reports_and_telemetry_come_in_and_are_acknowledged(
    site: Any, running: Any, eventually: Any
) -> None:
    context, board = site.context, await site.add_board("cam-1")
    topics = context.topics
    digest = await put(context, b"chunk")
    async with running(relay(context), Listener(context).run()), board.client() as device:
        await eventually(lambda: is_listening(context))  # else what comes counts as retained
        await device.subscribe(topics.device("cam-1", "ack"), qos=1)
        await device.publish(topics.device("cam-1", "presence"), ONLINE, qos=1, retain=True)
        raw = board.report(wants=(digest, "f" * 64))
        await device.publish(topics.device("cam-1", "reported"), raw, qos=1, retain=True)

        async def has_reported() -> bool:
            return bool((await load(context, "cam-1")).report_envelope == raw)

        await eventually(has_reported)
        shown = await load(context, "cam-1")
        assert shown.online
        assert shown.last_seen_utc is not None
        assert shown.report_counter == 1
        async with context.database.transaction() as session:
            assert await blobs.published(session) == [digest]  # only what exists
        await device.publish(topics.device("cam-1", "event"), event(board, 0), qos=1)
        await receive(device, 1)
        await eventually(lambda: is_listening(context))


async def test_bad_messages_are_counted_and_the_next_good_one_is_taken(
    site: Any, running: Any, eventually: Any
) -> None:
    context, board = site.context, await site.add_board("cam-1")
    ghost = await site.add_board("ghost")
    async with context.database.transaction() as session:
        await session.execute(delete(Certificate).where(Certificate.device == "ghost"))
        await session.delete(await devices.get(session, "ghost"))
    topics = context.topics
    async with (
        running(relay(context), Listener(context).run()),
        board.client() as device,
        ghost.client() as stranger,
    ):
        await eventually(lambda: is_listening(context))
        for leaf in ("reported", "presence", "window", "vitals", "event", "rpc/1"):
            await device.publish(topics.device("cam-1", leaf), b"\xff{" * 100, qos=1)
        foreign = await site.add_board("cam-2")
        await device.publish(topics.device("cam-1", "reported"), foreign.report(), qos=1)
        await stranger.publish(topics.device("ghost", "reported"), ghost.report(), qos=1)
        good = board.report()
        for _ in range(2):  # the second is stale
            await device.publish(topics.device("cam-1", "reported"), good, qos=1)

        async def all_are_counted() -> bool:
            return bool(context.figures.refused.total() == 9)

        await eventually(all_are_counted)
        assert context.figures.refused == {
            "MESSAGE_MALFORMED": 6,
            "SIGNATURE_INVALID": 1,
            "DEVICE_UNKNOWN": 1,
            "REPORT_STALE": 1,
        }
        assert (await load(context, "cam-1")).report_counter == 1


async def test_while_the_database_is_slow_nothing_is_lost(
    site: Any, running: Any, eventually: Any
) -> None:
    context, board = site.context, await site.add_board("cam-1")
    count = 200
    async with running(relay(context), Listener(context).run()), board.client() as device:
        await eventually(lambda: is_listening(context))
        async with context.database.transaction() as session:
            await session.execute(select(literal(1)))  # holds the writers' lock
            for sequence in range(count):
                topic = context.topics.device("cam-1", "event")
                await device.publish(topic, event(board, sequence), qos=1)
        assert context.figures.ingested_messages < count
        await eventually(lambda: has_stored(context, count))


async def test_what_comes_while_the_listener_is_away_waits_in_the_broker(
    site: Any, running: Any, eventually: Any
) -> None:
    context, board = site.context, await site.add_board("cam-1")
    topic = context.topics.device("cam-1", "event")
    async with board.client() as device:
        async with running(Listener(context).run()):
            await eventually(lambda: is_listening(context))
            await device.publish(topic, event(board, 0), qos=1)
            await eventually(lambda: has_stored(context, 1))
        await device.publish(topic, event(board, 1), qos=1)
        async with running(Listener(context).run()):
            await eventually(lambda: has_stored(context, 2))
