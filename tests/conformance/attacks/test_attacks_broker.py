"""Devices with good certificates and bad intentions, against a real broker."""

import asyncio
import ssl
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Any

import aiomqtt
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from tests.agent.tls import Authority
from tests.server.broker.test_broker import next_payload, own_client

from lamplighter_server.devices import service as devices
from lamplighter_server.ingest.listener import Listener
from lamplighter_server.pki.authority import RELAY


async def connects(site: Any, tls: ssl.SSLContext) -> bool:
    """Whether the broker serves this client; with TLS 1.3 a refusal shows at the first read."""
    tls.maximum_version = ssl.TLSVersion.TLSv1_2
    try:
        port = site.context.settings.broker_port
        _, writer = await asyncio.open_connection("127.0.0.1", port, ssl=tls)
    except OSError:
        return False
    writer.close()
    return True


async def test_a_client_without_a_certificate(site: Any) -> None:
    assert not await connects(
        site, ssl.create_default_context(cafile=site.context.authority.ca_path)
    )


async def test_a_client_of_another_authority(site: Any) -> None:
    """Also where the stranger calls itself as ours does."""
    await site.add_board("cam-1")
    tls = ssl.create_default_context(cafile=site.context.authority.ca_path)
    (site.folder / "forged").mkdir()
    tls.load_cert_chain(*Authority().issue("cam-1", site.folder / "forged"))
    assert not await connects(site, tls)


async def test_an_expired_certificate_of_a_device(site: Any) -> None:
    board, authority = await site.add_board("cam-1"), site.context.authority
    path, now_utc = site.folder / "cam-1.pem", datetime.now(UTC)
    issued = x509.load_pem_x509_certificate(path.read_bytes())
    for days, is_served in ((1, True), (-1, False)):
        certificate = (
            x509.CertificateBuilder(issued.issuer, issued.subject, issued.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now_utc - timedelta(days=31))
            .not_valid_after(now_utc + timedelta(days=days))
            .sign(authority.key, hashes.SHA256())
        )
        path.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
        assert await connects(site, board.tls()) is is_served


async def test_a_retained_assignment_planted_by_a_device(site: Any) -> None:
    topics = site.context.topics
    thief, victim = await site.add_board("cam-2"), await site.add_board("cam-1")
    own = topics.device("cam-1", "desired")
    with suppress(aiomqtt.MqttError):  # some brokers refuse aloud
        async with thief.client() as other:
            await other.publish(own, b"planted", qos=1, retain=True, timeout=0.2)
    async with victim.client() as device, own_client(site, RELAY) as relay:
        await device.subscribe(own, qos=1)
        await relay.publish(own, b"signed", qos=1)
        assert await next_payload(device.messages) == b"signed"


async def test_a_flood_of_nonsense(site: Any, running: Any, eventually: Any) -> None:
    """What a stolen device may write is refused and counted, and the others are heard."""
    context = site.context
    thief, honest = await site.add_board("cam-1"), await site.add_board("cam-2")

    async def is_listening() -> bool:
        return bool(context.figures.broker_sent_bytes > 0)

    async def is_heard() -> bool:
        async with context.database.reading() as session:
            return bool((await devices.get(session, "cam-2")).report_counter == 2)

    async with running(Listener(context).run()), thief.client() as device, honest.client() as other:
        await eventually(is_listening)
        for _ in range(200):
            await device.publish(context.topics.device("cam-1", "window"), b"\xff" * 999, qos=0)
        await device.publish(context.topics.device("cam-1", "reported"), honest.report(), qos=1)
        await other.publish(context.topics.device("cam-2", "reported"), honest.report(), qos=1)
        await eventually(is_heard)
    assert context.figures.refused == {"MESSAGE_MALFORMED": 200, "SIGNATURE_INVALID": 1}
