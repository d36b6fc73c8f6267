import asyncio
import socket
import ssl
from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import aiomqtt
import pytest

from lamplighter_protocol.errors import LamplighterError
from lamplighter_protocol.topics import Topics
from lamplighter_server.broker.config import BrokerFiles, config_text, permissions_text
from lamplighter_server.broker.process import managed_broker
from lamplighter_server.pki.authority import INGEST, RELAY


def test_the_configuration_demands_certificates_and_keeps_what_is_queued() -> None:
    files = BrokerFiles(*(Path(f"/d/{name}") for name in ("broker", "ca", "cert", "key", "crl")))
    lines = config_text(files, host="127.0.0.1", port=8883, user="lamp").splitlines()
    for line in (
        "listener 8883 127.0.0.1",
        "require_certificate true",
        "use_identity_as_username true",
        "use_username_as_clientid true",
        "allow_anonymous false",
        "crlfile /d/crl",
        "acl_file /d/broker/acl",
        "max_queued_messages 0",
        "persistence true",
        "user lamp",
    ):
        assert line in lines
    assert [line for line in lines if line.startswith("listener")] == lines[:1]


def test_permissions_are_the_protocols_own() -> None:
    topics = Topics("main")
    lines = permissions_text(topics).splitlines()
    patterns = [line.removeprefix("pattern ") for line in lines if line.startswith("pattern")]
    assert patterns == [
        *(f"read {topic}" for topic in topics.device_may_read("%u")),
        *(f"write {topic}" for topic in topics.device_may_write("%u")),
    ]
    assert lines[:2] == [f"user {RELAY}", "topic write lamp/1/main/#"]
    assert lines[3:6] == [f"user {INGEST}", "topic read lamp/1/main/#", "topic read $SYS/#"]


def own_client(site: Any, name: str) -> aiomqtt.Client:
    return aiomqtt.Client(
        "127.0.0.1",
        site.context.settings.broker_port,
        protocol=aiomqtt.ProtocolVersion.V5,
        tls_context=site.context.authority.client_tls(name),
    )


async def next_payload(messages: AsyncIterator[aiomqtt.Message]) -> bytes:
    async with asyncio.timeout(5):
        message = await anext(messages)
    assert isinstance(message.payload, bytes)
    return message.payload


async def publish_in_vain(client: aiomqtt.Client, topic: str) -> None:
    """Mosquitto 2.0 ends the connection on some refusals, and says nothing on others."""
    with suppress(aiomqtt.MqttError):
        async with client:
            await client.publish(topic, b"forbidden", qos=1, timeout=0.2)


async def test_the_servers_own_clients_have_only_their_half(site: Any) -> None:
    topic = site.context.topics.device("cam-1", "desired")
    board = await site.add_board("cam-1")
    async with board.client() as device:
        await device.subscribe("lamp/#", qos=1)
        await publish_in_vain(own_client(site, INGEST), topic)
        async with own_client(site, RELAY) as relay:
            await relay.publish(topic, b"from the relay", qos=1)
        assert await next_payload(device.messages) == b"from the relay"


async def test_without_a_certificate_of_ours_nobody_connects(site: Any) -> None:
    anonymous = ssl.create_default_context(cafile=str(site.context.authority.ca_path))
    anonymous.maximum_version = ssl.TLSVersion.TLSv1_2  # 1.3 would tell only at the first read
    with pytest.raises(OSError, match=r"(?i)handshake|reset"):
        await asyncio.open_connection("127.0.0.1", site.context.settings.broker_port, ssl=anonymous)


async def test_a_broker_that_dies_is_started_again(site: Any, eventually: Any) -> None:
    first = site.broker.pid
    site.broker.kill()

    async def is_back() -> bool:
        if site.broker.pid in {None, first}:
            return False
        try:
            async with own_client(site, RELAY):
                return True
        except aiomqtt.MqttError:
            return False

    await eventually(is_back)


async def test_a_taken_port_is_told_with_the_brokers_own_words(site: Any) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        settings = site.context.settings.model_copy(
            update={"broker_port": taken.getsockname()[1], "data_dir": site.folder / "second"}
        )
        context = replace(site.context, settings=settings)
        (site.folder / "second").mkdir()
        with pytest.raises(LamplighterError, match=r"BROKER_FAILED.*Address already in use"):
            async with managed_broker(context):
                pass
