"""Both doors of a server without sockets, and a publisher with offline keys."""

from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from securesystemslib.signer import CryptoSigner
from tuf.api.metadata import Metadata, Root, TargetFile, Targets

from lamplighter_protocol.assignment import DirectorKeys
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
from lamplighter_protocol.names import DIRECTOR_KEYS_TARGET, evidence_target, manifest_target
from lamplighter_server.app import open_context
from lamplighter_server.context import Context
from lamplighter_server.doors import device_app, people_app
from lamplighter_server.settings import Settings

TOKEN = "secret"


@dataclass
class Clock:
    now: datetime = field(default_factory=lambda: datetime.now(UTC).replace(microsecond=0))

    def __call__(self) -> datetime:
        return self.now

    def later(self, **span: float) -> None:
        self.now += timedelta(**span)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
async def server(tmp_path: Path, clock: Clock) -> AsyncIterator[Context]:
    async with open_context(Settings(data_dir=tmp_path / "data"), clock) as context:
        yield context


@pytest.fixture
async def people(server: Context) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(
        transport=httpx.ASGITransport(people_app(server, TOKEN)),
        base_url="http://127.0.0.1:8080",
        headers={"Authorization": f"Bearer {TOKEN}"},
    ) as client:
        yield client


@pytest.fixture
async def door(server: Context) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(
        transport=httpx.ASGITransport(device_app(server)), base_url="https://127.0.0.1:8443"
    ) as client:
        yield client


def make_manifest(model: str, release: int) -> Manifest:
    rows = Counts(
        rows=2,
        columns={"level": [0, 2, 0, 0]},
        predictions=[[1], [1]],
        latency=[0] * LATENCY_SLOTS,
        errors={},
    )
    return Manifest(
        format=1,
        requires=("classification",),
        model=model,
        release=release,
        task="classification",
        inputs=(TensorSpec(name="row", datatype="FP32", shape=(-1, 4)),),
        outputs=(TensorSpec(name="label", datatype="INT64", shape=(-1,)),),
        image=None,
        columns=(Column(name="level", kind="numeric", tensor="row", index=0, edges=(0.0, 1.0)),),
        answer=ClassOutput(
            label_tensor="label",
            probability_tensor="probabilities",
            labels=("fine", "worn"),
            confidence_edges=(0.0, 1.0),
        ),
        variants=(Variant(name="onnx-int8", runtime="onnxruntime", file="model.onnx"),),
        files={name: describe(file_content(name, release)) for name in ("model.onnx", "golden")},
        golden=Golden(file="golden", rows=2),
        reference=rows,
        health=HealthPolicy(),
        lineage=Lineage(
            dataset=model,
            dataset_sha256="0" * 64,
            code_commit="unknown",
            parameters={"alpha": 0.5},
            seed=7,
            lock_sha256="unknown",
        ),
    )


def file_content(name: str, release: int) -> bytes:
    return f"{name} {release}".encode() * 9_000  # more than one chunk


def make_evidence(manifest: Manifest, raw: bytes) -> bytes:
    variant = manifest.variants[0].name
    parity = {"variant": variant, "rows": 9, "agreement": 1.0, "max_abs_difference": 0.0}
    return encode(
        {
            "model": manifest.model,
            "release": manifest.release,
            "bundle_sha256": sha256(raw),
            "parity": [parity],
            "variants": {variant: {"accuracy": 0.97}},
        }
    )


class Offline:
    """The offline keys of a publisher and what they have signed."""

    def __init__(self, server: Context, people: httpx.AsyncClient) -> None:
        self._people = people
        self.root_key = CryptoSigner.generate_ed25519()
        self.targets_key = CryptoSigner.generate_ed25519()
        self.director_keys = encode(
            DirectorKeys(epoch=1, public_pem=(server.keys.director_public_pem,))
        )
        expires = server.clock() + timedelta(days=365)
        self.root = Root(expires=expires, consistent_snapshot=True)
        for role, key in (
            ("root", self.root_key),
            ("targets", self.targets_key),
            ("snapshot", server.keys.snapshot),
            ("timestamp", server.keys.timestamp),
        ):
            self.root.add_key(key.public_key, role)
        self.targets = Targets(expires=expires)
        self.version = 0
        self.name_target(DIRECTOR_KEYS_TARGET, self.director_keys)

    def name_target(self, path: str, content: bytes, **custom: Any) -> None:
        """To be signed with the next version."""
        file = TargetFile.from_data(path, content, ["sha256"])
        if custom:
            file.unrecognized_fields["custom"] = custom
        self.targets.targets[path] = file

    def sign_root(self, signer: CryptoSigner | None = None) -> str:
        metadata = Metadata(self.root)
        metadata.sign(signer or self.root_key)
        return metadata.to_bytes().decode()

    def sign_targets(self, signer: CryptoSigner | None = None, version: int = 0) -> str:
        """The next version, unless another is asked for."""
        self.version = version or self.version + 1
        self.targets.version = self.version
        metadata = Metadata(self.targets)
        metadata.sign(signer or self.targets_key)
        return metadata.to_bytes().decode()

    def bootstrap_body(self) -> dict[str, str]:
        return {
            "root": self.sign_root(),
            "targets": self.sign_targets(),
            "director_keys": self.director_keys.decode(),
        }

    async def bootstrap(self) -> None:
        answer = await self._people.post("/api/v1/trust/bootstrap", json=self.bootstrap_body())
        assert answer.status_code == 201, answer.text

    async def upload(self, content: bytes) -> str:
        digest = sha256(content)
        answer = await self._people.put(f"/api/v1/blobs/{digest}", content=content)
        assert answer.status_code in {200, 201}, answer.text
        return digest

    async def prepare(self, model: str, release: int) -> dict[str, Any]:
        """Upload a release and sign targets that name it: what to announce it with."""
        manifest = make_manifest(model, release)
        raw = encode_manifest(manifest)
        evidence = make_evidence(manifest, raw)
        for name in manifest.files:
            await self.upload(file_content(name, release))
        self.name_target(manifest_target(model, release), raw, model=model, release=release)
        self.name_target(evidence_target(model, release), evidence)
        return {
            "model": model,
            "release": release,
            "manifest_sha256": await self.upload(raw),
            "evidence_sha256": await self.upload(evidence),
            "targets": self.sign_targets(),
        }

    async def publish(self, model: str, release: int) -> None:
        answer = await self._people.post(
            "/api/v1/releases", json=await self.prepare(model, release)
        )
        assert answer.status_code == 201, answer.text


@pytest.fixture
def offline(server: Context, people: httpx.AsyncClient) -> Offline:
    return Offline(server, people)


@pytest.fixture
def code_of() -> Callable[[httpx.Response], str]:
    """The code of a refusal, whose shape and status are checked."""

    def read(answer: httpx.Response) -> str:
        body = answer.json()
        assert answer.is_error
        assert body.keys() == {"code", "sentence", "remedy", "retryable"}
        return str(body["code"])

    return read
