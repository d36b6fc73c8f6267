"""The agent's fetching against the real broker and the real door, one of which brings nothing."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from tests.server.broker.test_confidential_broker import MODEL, publish
from tests.server.serving import serving

from lamplighter_agent.app.config import DataDir, Settings
from lamplighter_agent.app.fetching import make_fetcher
from lamplighter_agent.app.transfers import plan_transfers
from lamplighter_agent.link.broker_way import BrokerWay
from lamplighter_agent.link.mqtt import Broker, Link
from lamplighter_agent.link.tls import device_context
from lamplighter_agent.store.blobs import BlobStore
from lamplighter_agent.store.identity import Enrolment, save_identity
from lamplighter_protocol import dsse
from lamplighter_protocol.assignment import ENCRYPTED, AssignedModel, Assignment
from lamplighter_protocol.bundle import Manifest, encode_manifest
from lamplighter_protocol.canonical import sha256
from lamplighter_protocol.errors import LamplighterError
from lamplighter_protocol.topics import Topics
from lamplighter_server.assignments import service as assignments
from lamplighter_server.blobs import service as blobs
from lamplighter_server.confidential import service as confidential
from lamplighter_server.context import Context
from lamplighter_server.devices import service as devices
from lamplighter_server.outbox.relay import relay

AGREEMENT = X25519PrivateKey.generate()
TOPICS = Topics("main")


class Told:
    """What the agent would report."""

    def __init__(self) -> None:
        self.problems: list[str] = []

    def event(self, event: object) -> None: ...

    def problem(self, error: LamplighterError) -> None:
        self.problems.append(error.code)

    def changed(self) -> None: ...

    def waits(self, model: str, reason: object) -> None: ...

    def settled(self) -> None: ...


class Agent:
    """As much of an agent as fetching is."""

    def __init__(self, board: Any, url: str, transport: str) -> None:
        folder = board.folder / "agent"
        self.identity = save_identity(
            folder / "identity",
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
            agreement=AGREEMENT,
        )
        self.told, self.blobs = Told(), BlobStore(folder / "blobs")
        identity, presence = self.identity, TOPICS.device(board.id, "presence")
        tls = device_context(identity.ca_file, identity.certificate_file, identity.key_file)
        self.link = Link(
            Broker("127.0.0.1", board.port, board.id, presence, tls, _now),
            lambda topic, payload: self._way.on_chunk(*TOPICS.parse_chunk(topic), payload),
            self._ask_again,
        )
        self._way = BrokerWay(TOPICS, self.link, self.told.problem, stall_s=0.3)
        settings = Settings(data=DataDir(folder), serve_port=0, transport=transport, stall_s=0.3)
        self.fetcher = make_fetcher(identity, settings, self.blobs, self._way, tls, self.told, _now)

    def _ask_again(self) -> None:
        self._way.on_connected()

    async def fetch(self, assigned: AssignedModel, manifest: Manifest) -> None:
        files = [assigned.manifest, *manifest.blobs_for(assigned.variant).values()]
        wanted = plan_transfers(files, assigned, self.identity, self.blobs.has)
        await self.fetcher.fetch(wanted, self.fetcher.meter)
        for blob in files:
            self.blobs.verified(blob.sha256)


def _now() -> datetime:
    return datetime.now(UTC)


class World:
    """A release that `cam-1` is assigned."""

    def __init__(self, context: Context, manifest: Manifest, board: Any) -> None:
        self.context = context
        self.manifest = manifest
        self.board = board

    async def assign(self, *, retained: bool) -> AssignedModel:
        """Assign it, and let the broker have its files or not."""
        context = self.context
        async with context.database.transaction() as session:
            await assignments.want(
                session,
                device="cam-1",
                model="digits",
                release=1,
                variant="onnx-fp32",
                rollout=None,
                deadline_utc=_now(),
            )
            await assignments.issue(context, session, ["cam-1"], _now())
            row = await assignments.newest(session, "cam-1")
            assert row is not None
            if retained:
                files = {blob.sha256 for blob in self.manifest.files.values()}
                files.add(sha256(encode_manifest(self.manifest)))
                names = await confidential.names_on_wire(context, session, "digits", 1, files)
                await blobs.want(session, names, "rollout:1", _now())
        payload = dsse.read_unverified(row.envelope)
        return msgspec.json.decode(payload, type=Assignment).models[0]


@pytest.fixture
async def world(site: Any, running: Any) -> AsyncIterator[World]:
    manifest = await publish(site.context)
    board = await site.add_board("cam-1")
    async with site.context.database.transaction() as session:
        device = await devices.get(session, "cam-1")
        device.inventory = {**device.inventory, "transfers": [ENCRYPTED]}
        device.agreement_public = AGREEMENT.public_key().public_bytes_raw()
    async with running(relay(site.context)):
        yield World(site.context, manifest, board)


@pytest.mark.parametrize("secret", [False, True])
async def test_what_the_broker_does_not_bring_comes_from_the_door(
    world: World, running: Any, secret: bool
) -> None:
    if secret:
        async with world.context.database.transaction() as session:
            await confidential.protect(world.context, session, "digits")
    assigned = await world.assign(retained=False)
    assert bool(assigned.transfers) == secret
    async with serving(world.context) as url:
        agent = Agent(world.board, url, "auto")
        async with running(agent.link.run()):
            await agent.fetch(assigned, world.manifest)
    assert agent.told.problems == ["FETCH_STALLED"], "told once, not for every file"
    assert (agent.blobs.verified(sha256(MODEL))).read_bytes() == MODEL


async def test_without_a_broker_the_door_is_enough(world: World) -> None:
    assigned = await world.assign(retained=False)
    async with serving(world.context) as url:
        agent = Agent(world.board, url, "https")
        await agent.fetch(assigned, world.manifest)
    assert agent.told.problems == []
    assert agent.fetcher.wants == frozenset(), "nothing is published for it"


@pytest.mark.parametrize("transport", ["auto", "mqtt"])
async def test_without_a_door_the_broker_is_enough(
    world: World, running: Any, transport: str
) -> None:
    assigned = await world.assign(retained=True)
    agent = Agent(world.board, "https://127.0.0.1:1", transport)
    async with running(agent.link.run()):
        await agent.fetch(assigned, world.manifest)
    assert agent.told.problems == []


async def test_what_is_not_assigned_is_refused_for_good(world: World) -> None:
    assigned = await world.assign(retained=False)
    async with world.context.database.transaction() as session:
        await assignments.withdraw(session, "cam-1", "digits")
        await assignments.issue(world.context, session, ["cam-1"], _now())
    async with serving(world.context) as url:
        agent = Agent(world.board, url, "https")
        with pytest.raises(LamplighterError, match=r"FETCH_REFUSED.*NOT_FOUND") as refused:
            await agent.fetch(assigned, world.manifest)
    assert not refused.value.retryable
