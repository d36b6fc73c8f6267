"""Every forbidden topic is tried against a real Mosquitto (design 3.3)."""

import asyncio
from contextlib import suppress
from typing import Any

import aiomqtt
import pytest
from tests.server.broker.forbidden import (
    ALLOWED_READS,
    ALLOWED_WRITES,
    DEVICE,
    FORBIDDEN_READS,
    FORBIDDEN_WRITES,
    NOT_FOR_IT,
    TOPICS,
)

from lamplighter_server.pki.authority import INGEST, RELAY

EVERYTHING = "user {name}\ntopic {access} #\n"


@pytest.fixture
async def witness(site: Any) -> None:
    """Let the server's own clients see and say everything, so that nothing escapes the test."""
    acl = site.context.settings.folder / "broker" / "acl"
    more = EVERYTHING.format(name=INGEST, access="read") + EVERYTHING.format(
        name=RELAY, access="write"
    )
    acl.write_text(more + acl.read_text())
    site.broker.reload()


def own_client(site: Any, name: str) -> aiomqtt.Client:
    return aiomqtt.Client(
        "127.0.0.1",
        site.context.settings.broker_port,
        protocol=aiomqtt.ProtocolVersion.V5,
        tls_context=site.context.authority.client_tls(name),
    )


async def heard_until(client: aiomqtt.Client, last: str) -> list[str]:
    heard = []
    async with asyncio.timeout(20):
        async for message in client.messages:
            heard.append(message.topic.value)
            if heard[-1] == last:
                return heard
    raise AssertionError


@pytest.mark.usefixtures("witness")
async def test_a_device_writes_only_its_own_topics(site: Any) -> None:
    board = await site.add_board(DEVICE)
    end = TOPICS.device(DEVICE, "event")
    others = [topic for topic in ALLOWED_WRITES if topic != end]
    async with own_client(site, INGEST) as listener, own_client(site, RELAY) as relay:
        await listener.subscribe("#", qos=1)
        await relay.publish("lamp/1/other/control", b"", qos=1)
        assert await heard_until(listener, "lamp/1/other/control")  # the witness sees everything
        for topic in FORBIDDEN_WRITES:
            # Mosquitto ends the connection on some refusals, and says nothing on others.
            with suppress(aiomqtt.MqttError):
                async with board.client() as device:
                    await device.publish(topic, b"forbidden", qos=1, retain=True, timeout=0.5)
        async with board.client() as device:
            for topic in (*others, end):
                await device.publish(topic, b"", qos=1)
        assert await heard_until(listener, end) == [*others, end]


@pytest.mark.usefixtures("witness")
async def test_a_will_on_a_forbidden_topic_is_not_left(site: Any) -> None:
    board = await site.add_board(DEVICE)
    await site.add_board("cam-2")
    forbidden, own = TOPICS.device("cam-2", "presence"), TOPICS.device(DEVICE, "presence")
    async with own_client(site, INGEST) as listener:
        await listener.subscribe("#", qos=1)
        for topic in (forbidden, own):
            will = aiomqtt.Will(topic, b"last words", qos=1, retain=True)
            with suppress(aiomqtt.MqttError):
                async with board.client(will=will) as device:
                    device._client._sock_close()  # no goodbye: the broker speaks the will
        assert await heard_until(listener, own) == [own]


@pytest.mark.usefixtures("witness")
@pytest.mark.parametrize("pattern", FORBIDDEN_READS)
async def test_a_device_reads_only_what_concerns_it(site: Any, pattern: str) -> None:
    board = await site.add_board(DEVICE)
    end = TOPICS.device(DEVICE, "desired")
    async with own_client(site, RELAY) as relay, board.client() as device:
        with suppress(aiomqtt.MqttError):
            await device.subscribe(pattern, qos=1, timeout=5)
        await device.subscribe(end, qos=1)
        for topic in NOT_FOR_IT:
            await relay.publish(topic, b"not for this device", qos=1, retain=True)
        await relay.publish(end, b"for this device", qos=1)
        heard = await heard_until(device, end)
    assert not set(heard) & set(NOT_FOR_IT)


async def test_what_concerns_a_device_reaches_it(site: Any) -> None:
    board = await site.add_board(DEVICE)
    topics = [
        pattern.replace("+", "7").replace("trust/#", "trust/index").replace("blob/#", "blob/a/0")
        for pattern in ALLOWED_READS
    ]
    async with own_client(site, RELAY) as relay, board.client() as device:
        await device.subscribe([(pattern, 1) for pattern in ALLOWED_READS])
        for topic in topics:
            await relay.publish(topic, b"for this device", qos=1)
        assert await heard_until(device, topics[-1]) == topics


async def test_a_client_identifier_is_the_certificates_name(site: Any) -> None:
    cam1, cam2 = await site.add_board("cam-1"), await site.add_board("cam-2")
    async with own_client(site, RELAY) as relay, cam2.client() as victim:
        await victim.subscribe(TOPICS.device("cam-2", "desired"), qos=1)
        async with cam1.client(identifier="cam-2") as thief:
            await thief.subscribe(TOPICS.device("cam-1", "desired"), qos=1)
            for board in ("cam-2", "cam-1"):
                await relay.publish(TOPICS.device(board, "desired"), b"x", qos=1)
            for client, name in ((victim, "cam-2"), (thief, "cam-1")):
                topic = TOPICS.device(name, "desired")
                assert await heard_until(client, topic) == [topic]
