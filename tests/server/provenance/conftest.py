"""A whole chain with real keys, each link of which a test can make anew."""

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from securesystemslib.signer import CryptoSigner
from tests.server.conftest import INVENTORY, make_manifest, plain_columns, spread_counts
from tuf.api.metadata import DelegatedRole, Delegations, Metadata, Root, TargetFile, Targets

from lamplighter_protocol import dsse
from lamplighter_protocol.assignment import (
    AssignedModel,
    Assignment,
    DirectorKeys,
    Generation,
    sign_assignment,
)
from lamplighter_protocol.blobs import describe
from lamplighter_protocol.bundle import Manifest, encode_manifest
from lamplighter_protocol.canonical import encode, sha256
from lamplighter_protocol.names import DIRECTOR_KEYS_TARGET, evidence_target, manifest_target
from lamplighter_protocol.provenance import Provenance, ReleaseProof
from lamplighter_protocol.reported import (
    Active,
    ModelReport,
    Reported,
    TrustState,
    sign_reported,
)
from lamplighter_server.pki.certificates import build_authority, build_leaf
from lamplighter_server.pki.judge import digest
from lamplighter_server.provenance.verify import Pins

NOW = datetime(2026, 5, 1, 12, tzinfo=UTC)
DEVICE, FLEET, MODEL, RELEASE, VARIANT = "cam-1", "main", "digits", 3, "onnx-fp32"
ROLE = f"model-{MODEL}"


def signed(content: Root | Targets, *signers: CryptoSigner) -> bytes:
    metadata: Metadata[Any] = Metadata(content)
    for signer in signers:
        metadata.sign(signer, append=True)
    return metadata.to_bytes()


@dataclass
class Chain:
    """All keys and documents; `file` signs what is there when it is called."""

    root_key: CryptoSigner = field(default_factory=CryptoSigner.generate_ed25519)
    next_root_key: CryptoSigner = field(default_factory=CryptoSigner.generate_ed25519)
    targets_key: CryptoSigner = field(default_factory=CryptoSigner.generate_ed25519)
    team_key: CryptoSigner = field(default_factory=CryptoSigner.generate_ed25519)
    director_key: Ed25519PrivateKey = field(default_factory=Ed25519PrivateKey.generate)
    ca_key: ec.EllipticCurvePrivateKey = field(
        default_factory=lambda: ec.generate_private_key(ec.SECP256R1())
    )
    device_key: ec.EllipticCurvePrivateKey = field(
        default_factory=lambda: ec.generate_private_key(ec.SECP256R1())
    )
    tls_key: ec.EllipticCurvePrivateKey | None = None
    """What the device connects with, if its own key is on a token."""
    delegated: bool = False
    certified: str = DEVICE
    assigned_release: int = RELEASE
    report_changes: dict[str, Any] = field(default_factory=dict)
    active_changes: dict[str, Any] = field(default_factory=dict)
    evidence_changes: dict[str, Any] = field(default_factory=dict)
    epoch: int = 1

    def __post_init__(self) -> None:
        columns = plain_columns()
        self.manifest: Manifest = make_manifest(MODEL, RELEASE, columns, spread_counts(columns))
        self.manifest_raw = encode_manifest(self.manifest)
        self.authority = build_authority(self.ca_key, NOW)

    @property
    def pins(self) -> Pins:
        return Pins(sha256(self.roots()[0]), digest(self.authority))

    def roots(self) -> tuple[bytes, ...]:
        first = Root(version=1, expires=NOW, consistent_snapshot=True)
        first.add_key(self.root_key.public_key, "root")
        first.add_key(self.targets_key.public_key, "targets")
        second = Root(version=2, expires=NOW, consistent_snapshot=True)
        second.add_key(self.next_root_key.public_key, "root")
        second.add_key(self.targets_key.public_key, "targets")
        return signed(first, self.root_key), signed(second, self.root_key, self.next_root_key)

    @property
    def director_keys(self) -> bytes:
        pem = dsse.public_pem(self.director_key.public_key())
        return encode(DirectorKeys(epoch=1, public_pem=(pem,)))

    @property
    def evidence(self) -> bytes:
        return encode(
            {
                "model": MODEL,
                "release": RELEASE,
                "bundle_sha256": sha256(self.manifest_raw),
                "parity": [
                    {
                        "variant": VARIANT,
                        "rows": 360,
                        "agreement": 1.0,
                        "max_abs_difference": 1e-6,
                        "flips": {},
                    }
                ],
                "variants": {VARIANT: {"rows": 360, "accuracy": 0.97, "confusion": []}},
                **self.evidence_changes,
            }
        )

    def targets(self) -> tuple[bytes, dict[str, bytes]]:
        top, team = Targets(version=4, expires=NOW), Targets(version=1, expires=NOW)
        top.targets[DIRECTOR_KEYS_TARGET] = TargetFile.from_data(
            DIRECTOR_KEYS_TARGET, self.director_keys, ["sha256"]
        )
        holder = team if self.delegated else top
        for path, raw in (
            (manifest_target(MODEL, RELEASE), self.manifest_raw),
            (evidence_target(MODEL, RELEASE), self.evidence),
        ):
            holder.targets[path] = TargetFile.from_data(path, raw, ["sha256"])
        if not self.delegated:
            return signed(top, self.targets_key), {}
        role = DelegatedRole(
            ROLE, [], 1, terminating=False, paths=[f"models/{MODEL}/*", f"models/{MODEL}/*/*"]
        )
        top.delegations = Delegations({}, {ROLE: role})
        top.add_key(self.team_key.public_key, ROLE)
        return signed(top, self.targets_key), {ROLE: signed(team, self.team_key)}

    def certificate(self) -> str:
        leaf = build_leaf(
            self.authority,
            self.ca_key,
            common_name=self.certified,
            public_key=(self.tls_key or self.device_key).public_key(),
            now_utc=NOW,
            lifetime=timedelta(days=30),
            device_key=self.device_key.public_key() if self.tls_key else None,
        )
        return leaf.public_bytes(serialization.Encoding.PEM).decode()

    def assignment(self) -> bytes:
        assignment = Assignment(
            device=DEVICE,
            fleet=FLEET,
            generation=Generation(self.epoch, 7),
            issued_utc=NOW,
            expires_utc=NOW + timedelta(days=1),
            window_s=60,
            models=(
                AssignedModel(
                    model=MODEL,
                    release=self.assigned_release,
                    manifest=describe(self.manifest_raw),
                    variant=VARIANT,
                    rollout="digits-3-abc",
                    not_before_utc=NOW,
                    deadline_utc=NOW,
                ),
            ),
        )
        return sign_assignment(assignment, dsse.SoftwareSigner(self.director_key))

    def report(self, assignment: bytes) -> bytes:
        active = Active(
            release=RELEASE,
            manifest_sha256=sha256(self.manifest_raw),
            variant=VARIANT,
            committed=True,
            since_utc=NOW,
        )
        active = msgspec.structs.replace(active, **self.active_changes)
        report = Reported(
            device=DEVICE,
            fleet=FLEET,
            boot="b1",
            counter=12,
            generation=Generation(1, 7),
            assignment_sha256=sha256(assignment),
            inventory=INVENTORY,
            trust=TrustState(root_version=2, targets_version=4, floor_utc=NOW),
            models=(ModelReport(model=MODEL, active=active),),
            wants=(),
            clock_synchronised=True,
            at_utc=NOW,
        )
        report = msgspec.structs.replace(report, **self.report_changes)
        return sign_reported(report, dsse.SoftwareSigner(self.device_key))

    def file(self) -> Provenance:
        targets, delegated = self.targets()
        assignment = self.assignment()
        return Provenance(
            device=DEVICE,
            fleet=FLEET,
            roots=self.roots(),
            targets=targets,
            delegated=delegated,
            director_keys=self.director_keys,
            assignment=assignment,
            report=self.report(assignment),
            certificate_pem=self.certificate(),
            ca_pem=self.authority.public_bytes(serialization.Encoding.PEM).decode(),
            device_key_pem=dsse.public_pem(self.device_key.public_key()),
            releases=(
                ReleaseProof(model=MODEL, manifest=self.manifest_raw, evidence=self.evidence),
            ),
        )


@pytest.fixture
def chain() -> Chain:
    return Chain()
