"""The real server with its broker and door, and the agent's own link and renewal."""

import asyncio
import gc
import sys
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import aiomqtt
import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from sqlalchemy import select
from tests.server.serving import serving

from lamplighter_agent.app.config import DataDir, Settings
from lamplighter_agent.app.renewal import Renewal
from lamplighter_agent.app.status import read_status
from lamplighter_agent.app.supervisor import Supervisor
from lamplighter_agent.link.mqtt import Broker, Link
from lamplighter_agent.link.renew import ask_door
from lamplighter_agent.link.tls import device_context
from lamplighter_agent.store.identity import Enrolment, Identity, load_identity, save_identity
from lamplighter_protocol import dsse
from lamplighter_protocol.errors import LamplighterError
from lamplighter_protocol.renewal import REPLY_LEAF, RenewalRequest, sign_renewal
from lamplighter_server.broker.gate import keep_gate, turn
from lamplighter_server.context import Context
from lamplighter_server.devices import revocation
from lamplighter_server.devices import service as devices
from lamplighter_server.devices.models import Certificate, Device
from lamplighter_server.ingest.handlers import Incoming, handle
from lamplighter_server.ingest.listener import Listener
from lamplighter_server.outbox import service as outbox
from lamplighter_server.outbox.models import OutboxRow
from lamplighter_server.outbox.relay import relay
from lamplighter_server.pki.authority import INGEST

# paho leaves the socket of a failed handshake to the garbage collector.
pytestmark = pytest.mark.filterwarnings(
    "ignore:Exception ignored in. <ssl.SSLSocket:pytest.PytestUnraisableExceptionWarning"
)
CLOCKLESS = datetime(1970, 1, 1, tzinfo=UTC)


@pytest.fixture(autouse=True)
def _collect_sockets_of_failed_handshakes() -> Iterator[None]:
    yield
    gc.collect()  # here, and not in a later test that does not expect the warning


class Agent:
    """What the agent has of MQTT and certificates, without models."""

    def __init__(self, board: Any, url: str, now_utc: datetime | None = None) -> None:
        self.identity: Identity = save_identity(
            board.folder / f"agent-{board.id}" / "identity",
            Enrolment(
                device=board.id,
                fleet="main",
                url=url,
                broker_host="127.0.0.1",
                broker_port=board.port,
            ),
            key=board.key,
            certificate_pem=(board.folder / f"{board.id}.pem").read_text(),
            ca_pem=board.ca.read_text(),
            root_json=b"{}",
            telemetry_key=board.telemetry_key,
            agreement=X25519PrivateKey.generate(),
        )
        self.first = self.certificate()
        self.connections = 0
        self.problems: list[str] = []
        topic = f"lamp/1/main/d/{board.id}"

        def now() -> datetime:
            return now_utc or datetime.now(UTC)

        def connected() -> None:
            self.connections += 1
            self.link.subscribe([f"{topic}/{REPLY_LEAF}"], qos=1)

        identity = self.identity
        tls = device_context(identity.ca_file, identity.certificate_file, identity.key_file)
        self.link = Link(
            Broker("127.0.0.1", board.port, board.id, f"{topic}/presence", tls, now),
            lambda _topic, payload: self.renewal.take(payload),
            connected,
        )
        self.renewal = Renewal(identity, self.link, tls, self.note, now, interval_s=0.05)

    def note(self, problem: LamplighterError) -> None:
        self.problems.append(problem.code)

    def certificate(self) -> x509.Certificate:
        return x509.load_pem_x509_certificate(self.identity.certificate_file.read_bytes())

    async def is_renewed(self) -> bool:
        return self.certificate() != self.first and self.link.connected

    async def is_connected(self) -> bool:
        return self.link.connected


@pytest.fixture
async def whole(site: Any, running: Any) -> AsyncIterator[str]:
    """Everything that runs on the server; the door's address."""
    context = site.context
    async with (
        running(relay(context), Listener(context).run(), keep_gate(context, site.broker)),
        serving(context) as url,
    ):
        yield url


async def issued(context: Context, device: str) -> set[str]:
    async with context.database.reading() as session:
        query = select(Certificate.serial).where(Certificate.device == device)
        return set(await session.scalars(query))


async def load(context: Context, device: str) -> Device:
    async with context.database.reading() as session:
        return await devices.get(session, device)


async def test_past_two_thirds_it_is_renewed_over_the_connection(
    site: Any, whole: str, running: Any, eventually: Any
) -> None:
    agent = Agent(await site.add_board("cam-1", timedelta(days=21)), url="")
    async with running(agent.link.run(), agent.renewal.run()):
        await eventually(agent.is_renewed)
        await eventually(lambda: reached(agent, 2))
    renewed = agent.certificate()
    assert renewed.not_valid_after_utc > datetime.now(UTC) + timedelta(days=29)
    assert renewed.public_key() == agent.first.public_key()
    assert load_identity(agent.identity.directory).telemetry_key == agent.identity.telemetry_key
    stored = await load(site.context, "cam-1")
    assert stored.certificate_serial == f"{renewed.serial_number:x}"
    assert stored.certificate_pem is not None
    serials = {f"{item.serial_number:x}" for item in (agent.first, renewed)}
    assert await issued(site.context, "cam-1") == serials


async def test_a_young_certificate_is_left_alone_and_a_repeated_request_changes_nothing(
    site: Any, whole: str, running: Any, eventually: Any
) -> None:
    agent = Agent(await site.add_board("cam-1", timedelta(days=19)), whole)
    async with running(agent.link.run(), agent.renewal.run()):
        await eventually(agent.is_connected)
        await asyncio.sleep(0.2)
    assert agent.certificate() == agent.first
    request = sign_renewal(RenewalRequest(device="cam-1", fleet="main"), agent.identity.signer)
    ca_pem = agent.identity.ca_file.read_text()
    answers = {
        await asyncio.to_thread(ask_door, whole, ca_pem, request, datetime.now(UTC))
        for _ in range(3)
    }
    assert len(answers) == 1
    assert len(await issued(site.context, "cam-1")) == 2


@pytest.mark.parametrize("clock", [None, CLOCKLESS], ids=["with a clock", "without one"])
async def test_a_board_that_was_off_for_a_year_comes_back_through_the_door(
    site: Any, whole: str, running: Any, eventually: Any, clock: datetime | None
) -> None:
    agent = Agent(await site.add_board("cam-1", timedelta(days=365)), whole, clock)
    async with running(agent.link.run(), agent.renewal.run()):
        await eventually(agent.is_renewed)
    assert agent.problems == []


async def test_who_holds_another_key_gets_no_certificate(site: Any, whole: str) -> None:
    agent = Agent(await site.add_board("cam-1", timedelta(days=365)), whole)
    other = await site.add_board("cam-2")
    request = sign_renewal(
        RenewalRequest(device="cam-1", fleet="main"), dsse.SoftwareSigner(other.key)
    )
    ca_pem = agent.identity.ca_file.read_text()
    stranger = RenewalRequest(device="cam-9", fleet="main")
    for raw, code in (
        (request, "SIGNATURE_INVALID"),
        (sign_renewal(stranger, agent.identity.signer), "DEVICE_UNKNOWN"),
        (b"{", "MESSAGE_MALFORMED"),
        (b" " * 5000, "MESSAGE_TOO_LARGE"),
    ):
        with pytest.raises(LamplighterError, match=code):
            await asyncio.to_thread(ask_door, whole, ca_pem, raw, datetime.now(UTC))
    assert len(await issued(site.context, "cam-1")) == 1


async def test_a_revoked_device_is_thrown_out_and_stays_out_while_others_stay_in(
    site: Any, whole: str, running: Any, eventually: Any
) -> None:
    context = site.context
    revoked = Agent(await site.add_board("cam-1"), whole)
    other = Agent(await site.add_board("cam-2"), whole)
    async with running(
        revoked.link.run(), revoked.renewal.run(), other.link.run(), other.renewal.run()
    ):
        await eventually(revoked.is_connected)
        await eventually(other.is_connected)
        async with context.database.transaction() as session:
            await revocation.revoke(context, session, "cam-1", "stolen")

        async def is_told() -> bool:
            return "DEVICE_REVOKED" in revoked.problems and not revoked.link.connected

        await eventually(is_told)
        assert revoked.connections == 1
        assert revoked.certificate() == revoked.first
        assert (other.connections, other.link.connected) == (1, True)
    shown = await load(context, "cam-1")
    assert (shown.revoked_reason, shown.online) == ("stolen", False)
    assert shown.cut_off_utc is not None


async def test_what_a_revoked_device_left_is_cleared_and_what_it_sends_is_refused(
    site: Any, running: Any, eventually: Any
) -> None:
    context, topics = site.context, site.context.topics
    board = await site.add_board("cam-1")

    async def has_reported() -> bool:
        return (await load(context, "cam-1")).report_counter == 1

    async def is_delivered() -> bool:
        async with context.database.reading() as session:
            return not list(await session.scalars(select(OutboxRow)))

    async with context.database.transaction() as session:
        outbox.send(session, topics.device("cam-1", "desired"), b"an envelope", retain=True)
    async with running(relay(context), Listener(context).run()):
        async with board.client() as device:
            await device.publish(topics.device("cam-1", "presence"), b"online", qos=1, retain=True)
            raw = board.report()
            await device.publish(topics.device("cam-1", "reported"), raw, qos=1, retain=True)
        await eventually(has_reported)
        await eventually(is_delivered)
    assert await retained(context, "cam-1") == {"desired", "presence", "reported"}

    async with context.database.transaction() as session:
        await revocation.revoke(context, session, "cam-1", "")
    await turn(context, site.broker)
    async with running(relay(context)):
        await eventually(is_delivered)
    assert await retained(context, "cam-1") == set()
    incoming = Incoming(topics.device("cam-1", "reported"), board.report(), False, context.clock())
    with pytest.raises(LamplighterError, match="DEVICE_REVOKED"):
        await handle(context, incoming)
    assert (await load(context, "cam-1")).report_counter == 1


async def retained(context: Context, device: str) -> set[str]:
    """What the broker keeps of a device; while no listener runs, whose name this borrows."""
    async with aiomqtt.Client(
        "127.0.0.1",
        context.settings.broker_port,
        protocol=aiomqtt.ProtocolVersion.V5,
        tls_context=context.authority.client_tls(INGEST),
    ) as client:
        await client.subscribe(context.topics.device(device, "#"))
        await client.subscribe("$SYS/broker/version")
        found = set()
        async with asyncio.timeout(5):
            async for message in client.messages:
                if message.topic.value.startswith("$SYS"):
                    break
                found.add(context.topics.parse_device(message.topic.value).leaf)
        return found


async def test_the_whole_agent_renews_and_says_that_it_was_revoked(
    site: Any, whole: str, eventually: Any
) -> None:
    agent = Agent(await site.add_board("cam-1", timedelta(days=25)), whole)
    data = DataDir(agent.identity.directory.parent)
    settings = Settings(
        data=data,
        serve_port=0,
        probe_command=(sys.executable, "-c", "print('{}')"),
        vitals_interval_s=0.1,
        renewal_interval_s=0.05,
    )
    supervisor = Supervisor(agent.identity, settings)
    task = asyncio.create_task(supervisor.run())

    async def has_problem() -> str | None:
        status = read_status(data.status)
        return status.problem.code if status and status.problem else None

    async def is_renewed() -> bool:
        status = read_status(data.status)
        return agent.certificate() != agent.first and bool(status and status.connected)

    async def knows_it() -> bool:
        return await has_problem() == "DEVICE_REVOKED"

    try:
        await eventually(is_renewed)
        assert await has_problem() is None
        async with site.context.database.transaction() as session:
            await revocation.revoke(site.context, session, "cam-1", "")
        await eventually(knows_it)
        assert not task.done(), "it keeps running and serving"
    finally:
        supervisor.stop()
        await task


async def reached(agent: Agent, connections: int) -> bool:
    return agent.connections >= connections and agent.link.connected
