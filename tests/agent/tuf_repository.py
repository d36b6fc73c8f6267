"""A small TUF repository, made with python-tuf, that tests can change at will."""

from collections.abc import Sequence
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any
from urllib.parse import quote

from cryptography.hazmat.primitives.asymmetric import ed25519
from securesystemslib.signer import CryptoSigner
from tuf.api.metadata import (
    DelegatedRole,
    Delegations,
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
from lamplighter_protocol.names import DIRECTOR_KEYS_TARGET, manifest_target, policy_target
from lamplighter_protocol.trust import TrustFile, TrustIndex

ROLES = ("root", "timestamp", "snapshot", "targets")


class Repository:
    """Keys, metadata and the director's keys of one fleet.

    Attributes:
        signers: Who signs each role, also the delegated ones.
        roles: The targets metadata of each role.
        files: What is published, by name.
        hashes: Whether timestamp and snapshot carry lengths and hashes.
    """

    def __init__(self, epoch: int = 1) -> None:
        self.signers = {role: [CryptoSigner.generate_ed25519()] for role in ROLES}
        private = ed25519.Ed25519PrivateKey.generate()
        self.director = dsse.SoftwareSigner(private)
        self.director_keys = encode(
            DirectorKeys(epoch=epoch, public_pem=(dsse.public_pem(private.public_key()),))
        )
        self._far_utc = datetime.now(timezone.utc) + timedelta(days=30)
        self.expires = dict.fromkeys(ROLES, self._far_utc)
        self.issued_utc: str | None = "2026-01-01T00:00:00Z"
        self.hashes = False
        self.targets = Targets()
        self.roles = {"targets": self.targets}
        self.targets.targets[DIRECTOR_KEYS_TARGET] = TargetFile.from_data(
            DIRECTOR_KEYS_TARGET, self.director_keys, ["sha256"]
        )
        self.snapshot = Snapshot()
        self.timestamp = Timestamp()
        self.root = Root(consistent_snapshot=True)
        for signed in (self.targets, self.snapshot, self.timestamp, self.root):
            signed.version = 0  # each publication counts up
        for role in ROLES:
            self.root.add_key(self.signers[role][0].public_key, role)
        self.files: dict[str, bytes] = {}
        self.publish_root()
        self.publish()

    @property
    def root_bytes(self) -> bytes:
        return self.files["1.root.json"]

    def sign(self, role: str, signed: Signed, signers: Sequence[CryptoSigner] = ()) -> bytes:
        signed.expires = self.expires.get(role, self._far_utc).replace(microsecond=0)
        metadata: Metadata[Any] = Metadata(signed)
        for signer in signers or self.signers[role]:
            metadata.sign(signer, append=True)
        return metadata.to_bytes()

    def rotate(self, role: str) -> None:
        """Give a top-level role one new key in place of all others."""
        for keyid in list(self.root.roles[role].keyids):
            self.root.revoke_key(keyid, role)
        self.signers[role] = [CryptoSigner.generate_ed25519()]
        self.root.add_key(self.signers[role][0].public_key, role)

    def publish_root(self, signers: Sequence[CryptoSigner] = ()) -> None:
        self.root.version += 1
        raw = self.sign("root", self.root, signers)
        self.files[f"{self.root.version}.root.json"] = raw

    def delegate(
        self, role: str, *patterns: str, by: str = "targets", terminating: bool = False
    ) -> Targets:
        """Let `by` delegate paths to a role, which has a key of its own for each delegator."""
        signer = CryptoSigner.generate_ed25519()
        self.signers.setdefault(role, []).append(signer)
        if role not in self.roles:
            self.roles[role] = Targets()
            self.roles[role].version = 0
        delegator = self.roles[by]
        if delegator.delegations is None:
            delegator.delegations = Delegations({}, {})
        assert delegator.delegations.roles is not None
        delegator.delegations.roles[role] = DelegatedRole(
            role, [], 1, terminating, paths=list(patterns)
        )
        delegator.add_key(signer.public_key, role)
        return self.roles[role]

    def put(
        self, path: str, content: bytes, *, role: str = "targets", custom: object = None
    ) -> None:
        target = TargetFile.from_data(path, content, ["sha256"])
        if custom is not None:
            target.unrecognized_fields["custom"] = custom
        self.roles[role].targets[path] = target

    def add(
        self,
        model: str,
        release: int,
        manifest: bytes,
        custom: object = None,
        role: str = "targets",
    ) -> None:
        custom = custom or {"model": model, "release": release}
        self.put(manifest_target(model, release), manifest, role=role, custom=custom)

    def set_policy(self, model: str, role: str = "targets", **policy: object) -> None:
        custom = {"model": model, **policy}
        self.put(policy_target(model), encode(custom), role=role, custom=custom)

    def publish(self) -> None:
        """Publish a new version of every role but root."""
        for name in [n for n in self.files if not n.endswith("root.json")]:
            del self.files[name]
        for role in self.roles:
            self.publish_targets(role)
        self.publish_snapshot()
        self.publish_timestamp()
        self.files["director-keys.json"] = self.director_keys

    def publish_targets(self, role: str = "targets") -> None:
        targets = self.roles[role]
        targets.version += 1
        raw = self.sign(role, targets)
        self.files[f"{targets.version}.{quote(role, safe='')}.json"] = raw
        self.snapshot.meta[f"{role}.json"] = self._meta(targets.version, raw)

    def publish_snapshot(self) -> None:
        self.snapshot.version += 1
        raw = self.sign("snapshot", self.snapshot)
        self.files[f"{self.snapshot.version}.snapshot.json"] = raw
        self.timestamp.snapshot_meta = self._meta(self.snapshot.version, raw)

    def publish_timestamp(self) -> None:
        self.timestamp.version += 1
        self.timestamp.unrecognized_fields.clear()
        if self.issued_utc is not None:
            self.timestamp.unrecognized_fields["issued_utc"] = self.issued_utc
        self.files["timestamp.json"] = self.sign("timestamp", self.timestamp)

    def _meta(self, version: int, raw: bytes) -> MetaFile:
        return MetaFile.from_data(version, raw, ["sha256"]) if self.hashes else MetaFile(version)

    def fetch(self, name: str, max_bytes: int) -> bytes | None:
        """The fetch port of a client without a network."""
        raw = self.files.get(name)
        assert raw is None or len(raw) <= max_bytes
        return raw

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
