"""A real Mosquitto with TLS, and devices with certificates."""

import asyncio
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import aiomqtt
import msgspec
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from lamplighter_protocol import dsse
from lamplighter_protocol.reported import Inventory, Reported, sign_reported
from lamplighter_server.app import open_context
from lamplighter_server.broker.process import ManagedBroker, managed_broker
from lamplighter_server.context import Context
from lamplighter_server.devices import certificates
from lamplighter_server.devices.models import Device
from lamplighter_server.settings import Settings
from lamplighter_server.tasks import cancel

INVENTORY = Inventory(
    machine="aarch64", runtimes={}, ram_mb=1, python="3.11", agent_version="0", system="linux"
)


@dataclass
class Board:
    """A device's keys and certificate."""

    id: str
    folder: Path
    ca: Path
    port: int
    key: ec.EllipticCurvePrivateKey = field(
        default_factory=lambda: ec.generate_private_key(ec.SECP256R1())
    )
    telemetry_key: bytes = b"k" * 32
    counter: int = 0

    def tls(self) -> ssl.SSLContext:
        context = ssl.create_default_context(cafile=str(self.ca))
        context.load_cert_chain(self.folder / f"{self.id}.pem", self.folder / f"{self.id}.key")
        return context

    def client(self, **options: Any) -> aiomqtt.Client:
        return aiomqtt.Client(
            "127.0.0.1",
            self.port,
            protocol=aiomqtt.ProtocolVersion.V5,
            tls_context=self.tls(),
            **options,
        )

    def report(self, **said: Any) -> bytes:
        self.counter += 1
        reported = Reported(
            device=self.id,
            fleet="main",
            boot="b1",
            counter=self.counter,
            generation=None,
            assignment_sha256=None,
            inventory=INVENTORY,
            trust=None,
            models=(),
            wants=said.pop("wants", ()),
            clock_synchronised=True,
            at_utc=datetime.now(UTC),
        )
        return sign_reported(reported, dsse.SoftwareSigner(self.key))


@dataclass
class Site:
    """A server's context with its broker running."""

    context: Context
    broker: ManagedBroker
    folder: Path

    async def add_board(self, name: str, age: timedelta = timedelta()) -> Board:
        """A device whose certificate was issued so long ago."""
        settings, authority = self.context.settings, self.context.authority
        board = Board(name, self.folder, authority.ca_path, settings.broker_port)
        certificate = authority.issue_device(
            name, board.key.public_key(), datetime.now(UTC) - age, timedelta(days=30)
        )
        (self.folder / f"{name}.pem").write_bytes(
            certificate.public_bytes(serialization.Encoding.PEM)
        )
        (self.folder / f"{name}.key").write_bytes(
            board.key.private_bytes(
                serialization.Encoding.PEM,
                serialization.PrivateFormat.PKCS8,
                serialization.NoEncryption(),
            )
        )
        async with self.context.database.transaction() as session:
            session.add(
                Device(
                    id=name,
                    labels={},
                    inventory=msgspec.to_builtins(INVENTORY),
                    public_key_pem=dsse.public_pem(board.key.public_key()),
                    certificate_serial=certificates.serial(certificate),
                    certificate_pem=certificates.pem(certificate),
                    telemetry_key=board.telemetry_key,
                    enrolled_utc=datetime.now(UTC),
                    online=False,
                    last_seen_utc=None,
                    boot=None,
                    report_counter=0,
                    report_envelope=None,
                    report=None,
                )
            )
            await session.flush()
            certificates.record(session, name, certificate)
        return board


@pytest.fixture
async def site(
    tmp_path: Path, free_port: Callable[[], int], require_program: Callable[..., str]
) -> AsyncIterator[Site]:
    require_program("mosquitto")
    settings = Settings(data_dir=tmp_path / "data", broker_port=free_port())
    async with open_context(settings) as context, managed_broker(context) as broker:
        yield Site(context, broker, tmp_path)


@pytest.fixture
def running() -> Callable[..., Any]:
    """Run coroutines beside a block and end them with it."""

    @asynccontextmanager
    async def beside(*work: Coroutine[Any, Any, None]) -> AsyncIterator[None]:
        tasks = [asyncio.create_task(item) for item in work]
        try:
            yield
        finally:
            await cancel(tasks)

    return beside


@pytest.fixture
def eventually() -> Callable[..., Awaitable[None]]:
    """Look again until something holds."""

    async def look(holds: Callable[[], Awaitable[bool]], timeout_s: float = 15) -> None:
        async with asyncio.timeout(timeout_s):
            while not await holds():
                await asyncio.sleep(0.02)

    return look
