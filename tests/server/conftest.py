"""A server without sockets: a real database file, real keys and devices that really sign."""

import hashlib
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from lamplighter_protocol import dsse
from lamplighter_protocol.assignment import PAYLOAD_TYPE as ASSIGNMENT
from lamplighter_protocol.assignment import Assignment, DirectorKeys, Generation
from lamplighter_protocol.blobs import describe
from lamplighter_protocol.bundle import (
    ClassOutput,
    Column,
    Golden,
    HealthPolicy,
    Lineage,
    Manifest,
    TensorSpec,
    Variant,
    encode_manifest,
)
from lamplighter_protocol.canonical import encode, sha256
from lamplighter_protocol.counts import LATENCY_SLOTS, Counts
from lamplighter_protocol.reported import (
    Active,
    Attempt,
    Failure,
    Inventory,
    ModelReport,
    Phase,
    Reported,
    Shadowed,
    sign_reported,
)
from lamplighter_protocol.topics import Topics
from lamplighter_server.assignments import service as assignments
from lamplighter_server.blobs.objects import ObjectStore
from lamplighter_server.context import Context
from lamplighter_server.database import Base, Database
from lamplighter_server.devices import service as devices
from lamplighter_server.devices.models import Device
from lamplighter_server.figures import Figures
from lamplighter_server.people import service as people
from lamplighter_server.people.access import BOOTSTRAP, Caller, Role
from lamplighter_server.pki.authority import Authority
from lamplighter_server.releases.models import Release
from lamplighter_server.settings import Settings
from lamplighter_server.trust.files import DIRECTOR_KEYS
from lamplighter_server.trust.models import TrustFileRow
from lamplighter_server.trust.online import OnlineKeys

START = datetime(2026, 5, 1, 12, tzinfo=UTC)
FLEET = "main"
INVENTORY = Inventory(
    machine="aarch64",
    runtimes={"onnxruntime": "1.23.2"},
    ram_mb=4096,
    python="3.11",
    agent_version="0.1.0",
    system="linux",
    modes=("active", "shadow"),
)


ADMIN = Caller(BOOTSTRAP, "admin", Role.ADMIN)


def make_manifest(
    model: str, release: int, columns: tuple[Column, ...], reference: Counts
) -> Manifest:
    files = {name: f"{model} {release} {name}".encode() for name in ("model.onnx", "golden.npz")}
    return Manifest(
        format=1,
        requires=("classification",),
        model=model,
        release=release,
        task="classification",
        inputs=(TensorSpec(name="row", datatype="FP32", shape=(-1, 4)),),
        outputs=(TensorSpec(name="label", datatype="INT64", shape=(-1,)),),
        image=None,
        columns=columns,
        answer=ClassOutput(
            label_tensor="label",
            probability_tensor="probabilities",
            labels=("fine", "worn"),
            confidence_edges=(0.0, 0.5, 1.0),
        ),
        variants=(Variant(name="onnx-fp32", runtime="onnxruntime", file="model.onnx"),),
        files={name: describe(raw) for name, raw in files.items()},
        golden=Golden(file="golden.npz", rows=2),
        reference=reference,
        health=HealthPolicy(),
        lineage=Lineage(
            dataset=model,
            dataset_sha256="0" * 64,
            code_commit="unknown",
            parameters={},
            seed=7,
            lock_sha256="unknown",
        ),
    )


def plain_columns() -> tuple[Column, ...]:
    edges = tuple(i / 8 for i in range(9))
    return (Column(name="level", kind="numeric", tensor="row", index=0, edges=edges),)


def spread_counts(columns: tuple[Column, ...], rows_per_bin: int = 125) -> Counts:
    """The same number of rows in each of the eight bins of `plain_columns`."""
    n = 8 * rows_per_bin
    return Counts(
        rows=n,
        columns={column.name: [0, *[rows_per_bin] * 8, 0, 0] for column in columns},
        predictions=[[0, n // 2], [0, n - n // 2]],
        latency=[n, *[0] * (LATENCY_SLOTS - 1)],
        errors={},
    )


@dataclass
class Board:
    """A device's own side: its keys and what it counts."""

    id: str
    key: Ed25519PrivateKey = field(default_factory=Ed25519PrivateKey.generate)
    telemetry_key: bytes = b""
    counter: int = 0

    def __post_init__(self) -> None:
        self.telemetry_key = hashlib.sha256(self.id.encode()).digest()


@dataclass
class Stage:
    """The server's context, a clock to move, and boards that sign."""

    context: Context
    boards: dict[str, Board] = field(default_factory=dict)
    now: datetime = START
    admin: Caller = ADMIN

    def later(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)

    async def add_device(self, name: str, **labels: str) -> Board:
        board = Board(name)
        async with self.context.database.transaction() as session:
            session.add(
                Device(
                    id=name,
                    labels=labels,
                    inventory=msgspec.to_builtins(INVENTORY),
                    public_key_pem=dsse.public_pem(board.key.public_key()),
                    certificate_serial="1",
                    telemetry_key=board.telemetry_key,
                    enrolled_utc=self.now,
                    online=True,
                    last_seen_utc=None,
                    boot=None,
                    report_counter=0,
                    report_envelope=None,
                    report=None,
                )
            )
        self.boards[name] = board
        return board

    async def add_release(
        self,
        model: str,
        release: int,
        columns: tuple[Column, ...] = (),
        reference: Counts | None = None,
    ) -> Manifest:
        columns = columns or plain_columns()
        manifest = make_manifest(model, release, columns, reference or spread_counts(columns))
        raw = encode_manifest(manifest)

        async def parts(content: bytes) -> AsyncIterator[bytes]:
            yield content

        await self.context.objects.put(sha256(raw), parts(raw))
        async with self.context.database.transaction() as session:
            session.add(
                Release(
                    model=model,
                    number=release,
                    manifest_sha256=sha256(raw),
                    manifest_size_bytes=len(raw),
                    evidence_sha256="0" * 64,
                    published_utc=self.now,
                    evidence={},
                )
            )
        return manifest

    async def desired(self, name: str) -> Assignment | None:
        """The newest assignment of a device, its signature verified."""
        async with self.context.database.transaction() as session:
            rows = {row.device: row for row in await assignments.current(session)}
        if name not in rows:
            return None
        director = self.context.keys.director
        key = dsse.load_public(self.context.keys.director_public_pem)
        payload = dsse.verify(rows[name].envelope, ASSIGNMENT, {director.key_id: key})
        return msgspec.json.decode(payload, type=Assignment)

    async def report(
        self,
        name: str,
        *,
        model: str = "digits",
        committed: int | None = None,
        tried: int | None = None,
        phase: Phase = "committed",
        failure: Failure | None = None,
        shadow: Shadowed | None = None,
        waits: Failure | None = None,
        generation: Generation | None = None,
        assignment_sha256: str | None = None,
        signer: Ed25519PrivateKey | None = None,
    ) -> Reported:
        """Sign a report on the newest assignment and hand it in as the ingest does."""
        board, desired = self.boards[name], await self.desired(name)
        board.counter += 1
        generation = generation or (desired.generation if desired else None)
        rollout = desired.models[0].rollout if desired and desired.models else None
        active = attempt = None
        if committed is not None:
            async with self.context.database.transaction() as session:
                digest = await _manifest_sha256(session, model, committed)
            active = Active(
                release=committed,
                manifest_sha256=digest,
                variant="onnx-fp32",
                committed=True,
                since_utc=self.now,
            )
        if tried is not None and generation is not None:
            attempt = Attempt(
                release=tried,
                generation=generation,
                phase=phase,
                rollout=rollout,
                started_utc=self.now,
                failure=failure,
                shadow=shadow,
                timings_s={"fetch": 0.1, "rollback": 0.25},
            )
        reported = Reported(
            device=name,
            fleet=FLEET,
            boot="b1",
            counter=board.counter,
            generation=generation,
            assignment_sha256=assignment_sha256,
            inventory=INVENTORY,
            trust=None,
            models=(ModelReport(model=model, active=active, attempt=attempt),),
            wants=(),
            waiting={model: waits} if waits else {},
            clock_synchronised=True,
            at_utc=self.now,
        )
        raw = sign_reported(reported, dsse.SoftwareSigner(signer or board.key))
        async with self.context.database.transaction() as session:
            device = await devices.get(session, name)
            return await devices.accept_report(self.context, session, device, raw)


async def _manifest_sha256(session: Any, model: str, release: int) -> str:
    from lamplighter_server.releases import service as releases

    return (await releases.get(session, model, release)).manifest_sha256


@pytest.fixture
async def stage(tmp_path: Path) -> AsyncIterator[Stage]:
    """A server with trust established and no devices."""
    settings = Settings(data_dir=tmp_path, fleet=FLEET, drift_interval_s=60)
    database = Database(settings.resolved_database_url)
    async with database.engine.begin() as connection:
        await connection.run_sync(Base.metadata.create_all)
    made: list[Stage] = []
    keys = OnlineKeys.load_or_create(tmp_path / "keys")
    context = Context(
        settings=settings,
        database=database,
        clock=lambda: made[0].now,
        topics=Topics(FLEET),
        objects=ObjectStore(tmp_path / "objects"),
        authority=Authority.load_or_create(tmp_path / "ca", START),
        keys=keys,
        figures=Figures(),
    )
    made.append(Stage(context))
    director = DirectorKeys(epoch=1, public_pem=(keys.director_public_pem,))
    async with database.transaction() as session:
        await people.ensure_admin(session, START)
        session.add(TrustFileRow(name=DIRECTOR_KEYS, body=encode(director), published=True))
    yield made[0]
    await database.close()
