"""A small TUF repository, made with python-tuf, that tests can change at will."""

from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric import ed25519
from securesystemslib.signer import CryptoSigner
from tuf.api.metadata import (
    Metadata,
    MetaFile,
    Root,
    Signed,
    Snapshot,
    TargetFile,
    Targets,
    Timestamp,
)

from lamplighter_protocol import dsse
from lamplighter_protocol.assignment import DirectorKeys
from lamplighter_protocol.canonical import encode, sha256
from lamplighter_protocol.names import DIRECTOR_KEYS_TARGET, manifest_target
from lamplighter_protocol.trust import TrustFile, TrustIndex

ROLES = ("root", "timestamp", "snapshot", "targets")


class Repository:
    """Keys, metadata and the director's keys of one fleet."""

    def __init__(self, epoch: int = 1) -> None:
        self.signers = {role: CryptoSigner.generate_ed25519() for role in ROLES}
        private = ed25519.Ed25519PrivateKey.generate()
        self.director = dsse.SoftwareSigner(private)
        self.director_keys = encode(
            DirectorKeys(epoch=epoch, public_pem=(dsse.public_pem(private.public_key()),))
        )
        self.expires = {role: datetime.now(timezone.utc) + timedelta(days=30) for role in ROLES}
        self.issued_utc: str | None = "2026-01-01T00:00:00Z"
        self.targets = Targets()
        self.targets.targets[DIRECTOR_KEYS_TARGET] = TargetFile.from_data(
            DIRECTOR_KEYS_TARGET, self.director_keys, ["sha256"]
        )
        self.snapshot = Snapshot()
        self.timestamp = Timestamp()
        self.root = Root(consistent_snapshot=True)
        for signed in (self.targets, self.snapshot, self.timestamp, self.root):
            signed.version = 0  # each publication counts up
        for role in ROLES:
            self.root.add_key(self.signers[role].public_key, role)
        self.files: dict[str, bytes] = {}
        self.publish_root()
        self.publish()

    @property
    def root_bytes(self) -> bytes:
        return self.files["1.root.json"]

    def _sign(self, role: str, signed: Signed) -> bytes:
        signed.version += 1
        signed.expires = self.expires[role].replace(microsecond=0)
        metadata: Metadata[Any] = Metadata(signed)
        metadata.sign(self.signers[role])
        return metadata.to_bytes()

    def publish_root(self) -> None:
        raw = self._sign("root", self.root)
        self.files[f"{self.root.version}.root.json"] = raw

    def add(self, model: str, release: int, manifest: bytes, custom: object = None) -> None:
        path = manifest_target(model, release)
        target = TargetFile.from_data(path, manifest, ["sha256"])
        target.unrecognized_fields["custom"] = custom or {"model": model, "release": release}
        self.targets.targets[path] = target

    def publish(self) -> None:
        for name in [n for n in self.files if not n.endswith("root.json")]:
            del self.files[name]
        raw = self._sign("targets", self.targets)
        self.files[f"{self.targets.version}.targets.json"] = raw
        self.snapshot.meta["targets.json"] = MetaFile(version=self.targets.version)
        raw = self._sign("snapshot", self.snapshot)
        self.files[f"{self.snapshot.version}.snapshot.json"] = raw
        self.timestamp.snapshot_meta = MetaFile(version=self.snapshot.version)
        self.timestamp.unrecognized_fields.clear()
        if self.issued_utc is not None:
            self.timestamp.unrecognized_fields["issued_utc"] = self.issued_utc
        self.files["timestamp.json"] = self._sign("timestamp", self.timestamp)
        self.files["director-keys.json"] = self.director_keys

    def index(self) -> bytes:
        return encode(
            TrustIndex(
                files=tuple(
                    TrustFile(name=name, sha256=sha256(raw), size_bytes=len(raw))
                    for name, raw in sorted(self.files.items())
                )
            )
        )

    def fill(self, inbox: Path) -> None:
        inbox.mkdir(parents=True, exist_ok=True)
        for old in inbox.iterdir():
            old.unlink()
        for name, raw in self.files.items():
            (inbox / name).write_bytes(raw)
