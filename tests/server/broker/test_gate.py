"""What the gate does while the server runs: fresh leaves, current lists, a bounded log."""

import asyncio
import os
import socket
import ssl
from contextlib import ExitStack
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from cryptography import x509

from lamplighter_server.broker.gate import keep_gate, turn
from lamplighter_server.broker.process import MAX_LOG_BYTES
from lamplighter_server.devices import revocation
from lamplighter_server.pki.authority import INGEST, validity


async def shown_serial(site: Any) -> int:
    """Of the certificate that the broker shows now."""
    port = site.context.settings.broker_port
    tls = ssl.create_default_context(cafile=str(site.context.authority.ca_path))
    tls.load_cert_chain(*site.context.authority._paths(INGEST))
    _, writer = await asyncio.open_connection("127.0.0.1", port, ssl=tls)
    der = writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
    writer.close()
    return x509.load_der_x509_certificate(der).serial_number


async def test_old_leaves_are_replaced_and_nobody_is_disconnected(
    site: Any, eventually: Any
) -> None:
    context, authority = site.context, site.context.authority
    authority.issue_own("127.0.0.1", datetime.now(UTC) - timedelta(days=300))
    site.broker.reload()
    old = x509.load_pem_x509_certificate(authority.server_paths[0].read_bytes())

    async def shows_the_old_one() -> bool:
        return await shown_serial(site) == old.serial_number

    await eventually(shows_the_old_one)
    board = await site.add_board("cam-1")
    topic = context.topics.device("cam-1", "desired")
    own = authority.client_tls(INGEST)
    async with board.client() as device:
        await device.subscribe(topic)
        await turn(context, site.broker)
        new = x509.load_pem_x509_certificate(authority.server_paths[0].read_bytes())
        assert validity(new).is_young(datetime.now(UTC))

        async def shows_the_new_one() -> bool:
            return await shown_serial(site) == new.serial_number

        await eventually(shows_the_new_one)
        await device.publish(context.topics.device("cam-1", "presence"), b"online", qos=1)
    assert authority.client_tls(INGEST) is own, "whoever holds the context shows the new leaf"
    before = authority.server_paths[0].read_bytes()
    await turn(context, site.broker)
    assert authority.server_paths[0].read_bytes() == before


async def test_the_list_is_signed_again_before_it_ends(site: Any) -> None:
    context = site.context
    path = context.authority.revoked_path
    first = x509.load_pem_x509_crl(path.read_bytes())
    assert first.is_signature_valid(context.authority.key.public_key())
    for days, renewed in ((3, False), (4, True)):
        now = datetime.now(UTC) + timedelta(days=days)
        assert await revocation.publish(replace(context, clock=lambda now=now: now)) is renewed
    second = x509.load_pem_x509_crl(path.read_bytes())
    assert first.next_update_utc is not None
    assert second.next_update_utc is not None
    assert second.next_update_utc > first.next_update_utc


async def test_a_damaged_list_is_signed_again(site: Any) -> None:
    path = site.context.authority.revoked_path
    for damage in (b"", b"-----BEGIN X509 CRL-----\n"):
        path.write_bytes(damage)
        assert await revocation.publish(site.context)
    path.unlink()
    assert await revocation.publish(site.context)
    assert not await revocation.publish(site.context)


async def test_a_revocation_waits_for_a_broker_that_is_away(
    site: Any, running: Any, eventually: Any
) -> None:
    await site.add_board("cam-1")
    site.broker.kill()
    async with site.context.database.transaction() as session:
        await revocation.revoke(site.context, session, "cam-1", "")

    async def is_cut_off() -> bool:
        return not await revocation.to_cut_off(site.context)

    async with running(keep_gate(site.context, site.broker)):
        await eventually(is_cut_off)


async def test_a_session_ticket_does_not_outlive_a_revocation(site: Any) -> None:
    board = await site.add_board("cam-1")
    tls: ssl.SSLContext = board.tls()
    tls.maximum_version = ssl.TLSVersion.TLSv1_2  # 1.3 tells of a refusal only at the first read
    with ExitStack() as stack:  # a connection that is torn down spoils its ticket

        def connect(ticket: ssl.SSLSession | None = None) -> ssl.SSLSocket:
            plain = stack.enter_context(socket.create_connection(("127.0.0.1", board.port)))
            name = "127.0.0.1"
            return stack.enter_context(tls.wrap_socket(plain, server_hostname=name, session=ticket))

        ticket = (await asyncio.to_thread(connect)).session
        assert (await asyncio.to_thread(connect, ticket)).session_reused
        async with site.context.database.transaction() as session:
            await revocation.revoke(site.context, session, "cam-1", "")
        await turn(site.context, site.broker)
        with pytest.raises(ssl.SSLError, match="(?i)revoked"):
            await asyncio.to_thread(connect, ticket)


async def test_a_long_log_is_set_aside(site: Any, eventually: Any) -> None:
    log = site.context.settings.folder / "broker" / "mosquitto.log"
    os.truncate(log, MAX_LOG_BYTES)
    await turn(site.context, site.broker)
    assert log.with_name("mosquitto.log.1").stat().st_size >= MAX_LOG_BYTES

    async def is_written_again() -> bool:
        return bool(log.exists() and log.stat().st_size < MAX_LOG_BYTES)

    await eventually(is_written_again)
