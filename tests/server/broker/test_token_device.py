"""A device whose key is on a real token (SoftHSM2): from enrolment to a stolen card."""

import asyncio
import shutil
import socket
import ssl
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from tests.server.serving import serving
from tests.softhsm import SoftHsm

from lamplighter_agent.app.config import DataDir, Settings
from lamplighter_agent.app.enrolment import enrol_device
from lamplighter_agent.app.status import Status, read_status
from lamplighter_agent.app.supervisor import Supervisor
from lamplighter_agent.link.renew import ask_door
from lamplighter_agent.link.tls import device_context
from lamplighter_agent.store.identity import Identity, load_identity, new_key, next_tls_key
from lamplighter_protocol import dsse
from lamplighter_protocol.certificates import speaks_for
from lamplighter_protocol.enrolment import decode_invitation, encode_invitation
from lamplighter_protocol.errors import LamplighterError
from lamplighter_protocol.renewal import RenewalRequest, read_reply, sign_renewal
from lamplighter_server.broker.gate import keep_gate
from lamplighter_server.context import Context
from lamplighter_server.devices import certificates, enrolment
from lamplighter_server.devices import service as devices
from lamplighter_server.devices.models import Device
from lamplighter_server.devices.renewal import renew
from lamplighter_server.ingest.handlers import Incoming, handle
from lamplighter_server.ingest.listener import Listener
from lamplighter_server.outbox.relay import relay
from lamplighter_server.trust.files import FIRST_ROOT
from lamplighter_server.trust.models import TrustFileRow

PROBE = (sys.executable, "-c", "print('{}')")


class Agent:
    """The whole agent on one machine."""

    def __init__(self, data: DataDir) -> None:
        self.data = data
        self.settings = Settings(
            data=data,
            serve_port=0,
            probe_command=PROBE,
            vitals_interval_s=0.1,
            retry_max_s=0.2,
            renewal_interval_s=0.05,
        )

    @property
    def identity(self) -> Identity:
        return load_identity(self.data.identity)

    @property
    def certificate(self) -> x509.Certificate:
        return x509.load_pem_x509_certificate(self.identity.certificate_file.read_bytes())

    @property
    def tls_key(self) -> ec.EllipticCurvePrivateKey:
        key = serialization.load_pem_private_key(self.identity.key_file.read_bytes(), None)
        assert isinstance(key, ec.EllipticCurvePrivateKey)
        return key

    @property
    def status(self) -> Status | None:
        return read_status(self.data.status)

    @property
    def problem(self) -> str | None:
        status = self.status
        return status.problem.code if status and status.problem else None

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        supervisor = Supervisor(self.identity, self.settings)
        task = asyncio.create_task(supervisor.run())
        try:
            yield
            assert not task.done()
        finally:
            supervisor.stop()
            await task


@pytest.fixture
async def door(site: Any, running: Any) -> AsyncIterator[str]:
    """Everything that runs on the server; the door's address."""
    context = site.context
    async with context.database.transaction() as session:
        session.add(TrustFileRow(name=FIRST_ROOT, body=b"{}", published=True))
    async with (
        running(relay(context), Listener(context).run(), keep_gate(context, site.broker)),
        serving(context) as url,
    ):
        yield url


@pytest.fixture
async def agent(site: Any, door: str, softhsm: SoftHsm, tmp_path: Path) -> Agent:
    """Enrolled with a key on the token."""
    context, data = site.context, DataDir(tmp_path / "board")
    async with context.database.transaction() as session:
        text, _ = await enrolment.invite(context, session, "cam-1", {})
    text = encode_invitation(msgspec.structs.replace(decode_invitation(text), url=door))
    uri = softhsm.uri()
    await asyncio.to_thread(enrol_device, data, text, replace=False, key_uri=uri, tell=print)
    return Agent(data)


async def load(context: Context) -> Device:
    async with context.database.reading() as session:
        return await devices.get(session, "cam-1")


async def age(context: Context, agent: Agent, days: int) -> None:
    """Let the device's certificate be so old, at the server and on the device."""
    identity = agent.identity
    certificate = context.authority.issue_device(
        "cam-1",
        agent.tls_key.public_key(),
        datetime.now(UTC) - timedelta(days=days),
        timedelta(days=30),
        device_key=identity.signer.public,
    )
    identity.certificate_file.write_text(certificates.pem(certificate))
    await keep(context, certificate)


async def age_newest(context: Context, days: int) -> None:
    """Let only the server's newest certificate be so old."""
    stored = await load(context)
    assert stored.certificate_pem is not None
    newest = x509.load_pem_x509_certificate(stored.certificate_pem.encode())
    key = newest.public_key()
    assert isinstance(key, ec.EllipticCurvePublicKey)
    issued_utc = datetime.now(UTC) - timedelta(days=days)
    await keep(
        context, context.authority.issue_device("cam-1", key, issued_utc, timedelta(days=30))
    )


async def keep(context: Context, certificate: x509.Certificate) -> None:
    async with context.database.transaction() as session:
        device = await devices.get(session, "cam-1")
        device.certificate_pem = certificates.pem(certificate)


async def test_its_reports_are_signed_on_the_token_and_its_certificate_names_that_key(
    site: Any, agent: Agent, eventually: Any
) -> None:
    identity, stored = agent.identity, await load(site.context)
    assert stored.public_key_pem == dsse.public_pem(identity.signer.public)
    assert agent.certificate.public_key() == agent.tls_key.public_key() != identity.signer.public
    assert speaks_for(agent.certificate, identity.signer.public)
    assert not speaks_for(agent.certificate, agent.tls_key.public_key())
    async with agent.running():
        await eventually(lambda: has_reported(site.context, 1))
    assert agent.problem in {None, "TRUST_REFUSED"}  # no metadata were made for this test


async def has_reported(context: Context, counter: int) -> bool:
    return (await load(context)).report_counter >= counter


@pytest.mark.parametrize("days", [21, 365], ids=["in time over the broker", "a year later"])
async def test_each_renewal_brings_a_new_tls_key_for_the_same_device_key(
    site: Any, agent: Agent, eventually: Any, days: int
) -> None:
    await age(site.context, agent, days)
    before, tls_key = agent.identity.signer.public, agent.certificate.public_key()

    async def is_renewed() -> bool:
        status = agent.status
        return agent.certificate.public_key() != tls_key and bool(status and status.connected)

    async with agent.running():
        await eventually(is_renewed)
        await eventually(lambda: has_reported(site.context, 1))
    stored, renewed = await load(site.context), agent.certificate
    assert stored.public_key_pem == dsse.public_pem(before)
    assert stored.certificate_serial == f"{renewed.serial_number:x}"
    assert renewed.not_valid_after_utc > datetime.now(UTC) + timedelta(days=29)
    assert speaks_for(renewed, before)
    assert agent.problem in {None, "TRUST_REFUSED"}  # no metadata were made for this test


async def test_when_the_token_vanishes_the_agent_says_so_goes_on_and_reports_once_it_is_back(
    site: Any, agent: Agent, softhsm: SoftHsm, eventually: Any
) -> None:
    async def says_why() -> bool:
        status = agent.status
        return agent.problem == "TOKEN_MISSING" and bool(status and status.connected)

    softhsm.unplug()
    async with agent.running():
        await eventually(says_why)
        assert (await load(site.context)).report_counter == 0
        softhsm.plug()
        await eventually(lambda: has_reported(site.context, 1))


async def test_a_stolen_card_connects_until_its_certificate_ends_and_can_do_no_more(
    site: Any, agent: Agent, door: str, softhsm: SoftHsm, tmp_path: Path, eventually: Any
) -> None:
    """The thief has every file of the device, even that of the PIN, but not the token."""
    context, ca_pem = site.context, agent.identity.ca_file.read_text()
    thief = Agent(DataDir(tmp_path / "thief"))
    shutil.copytree(agent.data.path, thief.data.path, symlinks=True)
    softhsm.unplug()

    async def is_refused() -> bool:
        status = thief.status
        return thief.problem == "TOKEN_MISSING" and bool(status and status.connected)

    async with thief.running():
        await eventually(is_refused)
    assert (await load(context)).report_counter == 0

    # With the key of TLS, which the card holds, instead of the token's.
    identity = thief.identity
    files = {"device-key.json", "tls-key.pem"}
    assert files <= {path.name for path in identity.directory.iterdir()}
    (identity.directory / "device-key.json").unlink()
    (identity.directory / "tls-key.pem").rename(identity.directory / "device-key.pem")
    forged = thief.identity
    assert forged.signer.public == thief.certificate.public_key()
    for named in ("", dsse.public_pem(new_key().public_key())):
        request = RenewalRequest(device="cam-1", fleet="main", tls_key_pem=named)
        with pytest.raises(LamplighterError, match="SIGNATURE_INVALID"):
            await asyncio.to_thread(
                ask_door, door, ca_pem, sign_renewal(request, forged.signer), datetime.now(UTC)
            )
    board = await site.add_board("cam-2")
    board.id, board.key = "cam-1", thief.tls_key
    topic = context.topics.device("cam-1", "reported")
    with pytest.raises(LamplighterError, match="SIGNATURE_INVALID"):
        await handle(context, Incoming(topic, board.report(), False, context.clock()))

    # A year later.
    await age(context, thief, 365)
    tls = device_context(forged.ca_file, forged.certificate_file, forged.key_file)
    with pytest.raises(ssl.SSLError, match="expired"):
        await asyncio.to_thread(say_hello, tls, context.settings.broker_port)


def say_hello(tls: ssl.SSLContext, port: int) -> None:
    with (
        socket.create_connection(("127.0.0.1", port), timeout=10) as plain,
        tls.wrap_socket(plain, server_hostname="127.0.0.1") as connection,
    ):
        connection.recv(1)


async def test_a_recorded_request_renews_nothing_for_a_former_tls_key(
    site: Any, agent: Agent, door: str
) -> None:
    context, identity = site.context, agent.identity
    ca_pem = identity.ca_file.read_text()

    async def ask(raw: bytes) -> str:
        return read_reply(await asyncio.to_thread(ask_door, door, ca_pem, raw, datetime.now(UTC)))

    async def sign() -> bytes:
        tls_key_pem = dsse.public_pem(new_key().public_key())
        request = RenewalRequest(device="cam-1", fleet="main", tls_key_pem=tls_key_pem)
        return await asyncio.to_thread(sign_renewal, request, identity.signer)

    recorded, newer = await sign(), await sign()
    assert await ask(recorded) == identity.certificate_file.read_text()  # which is young
    await age(context, agent, 21)
    first = await ask(recorded)
    assert await ask(recorded) == await ask(newer) == first
    await age_newest(context, 21)
    assert await ask(newer) != first
    await age_newest(context, 21)
    with pytest.raises(LamplighterError, match="KEY_REFUSED"):
        await ask(recorded)


async def test_an_old_image_of_the_card_renews_with_yet_another_key(
    site: Any, agent: Agent, eventually: Any
) -> None:
    """It holds a key that was to be certified next, and was, a long time ago."""
    context, identity = site.context, agent.identity
    former = next_tls_key(identity.directory).public_key()
    async with context.database.transaction() as session:
        certificates.record(
            session,
            "cam-1",
            context.authority.issue_device("cam-1", former, datetime.now(UTC), timedelta(days=30)),
        )
    await age(context, agent, 21)
    first = agent.certificate

    async def is_renewed() -> bool:
        return agent.certificate != first

    async with agent.running():
        await eventually(is_renewed)
    assert agent.tls_key.public_key() != former


async def test_a_reply_that_was_lost_is_given_again(
    site: Any, agent: Agent, eventually: Any
) -> None:
    context, identity = site.context, agent.identity
    await age(context, agent, 365)
    request = RenewalRequest(
        device="cam-1",
        fleet="main",
        tls_key_pem=dsse.public_pem(next_tls_key(identity.directory).public_key()),
    )
    raw = await asyncio.to_thread(sign_renewal, request, identity.signer)
    async with context.database.transaction() as session:
        lost = await renew(context, session, await devices.get(session, "cam-1"), raw)

    async def is_renewed() -> bool:
        return identity.certificate_file.read_text() == lost.certificate_pem

    async with agent.running():
        await eventually(is_renewed)
        await eventually(lambda: has_reported(context, 1))
    assert speaks_for(agent.certificate, identity.signer.public)
