"""The set of metadata files that belong together, and its next states: pure."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Final, TypeVar

from securesystemslib.signer import Signer
from tuf.api.metadata import Metadata, MetaFile, Root, Snapshot, Targets, Timestamp

from lamplighter_protocol.canonical import encode, sha256
from lamplighter_protocol.errors import LamplighterError
from lamplighter_protocol.trust import TrustFile, TrustIndex
from lamplighter_server.trust.online import OnlineKeys

FIRST_ROOT: Final = "1.root.json"
DIRECTOR_KEYS: Final = "director-keys.json"
TIMESTAMP: Final = "timestamp.json"
VERSIONED: Final = frozenset({"root", "targets", "snapshot"})
SNAPSHOT_LIFETIME: Final = timedelta(days=30)
TIMESTAMP_LIFETIME: Final = timedelta(days=7)
#: Not of TUF: clients without a clock take it as a floor of time.
ISSUED: Final = "issued_utc"

#: Content by name, all of one moment. Empty before bootstrap.
Files = Mapping[str, bytes]
S = TypeVar("S", Root, Targets, Snapshot, Timestamp)


def require(files: Files, name: str) -> bytes:
    """One file of the set.

    Raises:
        LamplighterError: TRUST_MISSING.
    """
    if name not in files:
        raise LamplighterError("TRUST_MISSING", "This server has no TUF root yet.")
    return files[name]


def read_root(files: Files) -> Root:
    """The root.

    Raises:
        LamplighterError: TRUST_MISSING.
    """
    return _read(require(files, FIRST_ROOT), Root)


def read_targets(files: Files) -> Targets | None:
    """The targets, or None before bootstrap."""
    raw = newest_version(files, "targets")
    return _read(raw, Targets) if raw else None


def with_targets(files: Files, raw: bytes, keys: OnlineKeys, now_utc: datetime) -> Files:
    """The set after new (already verified) targets: a snapshot and a timestamp that name them."""
    targets = _read(raw, Targets)
    former = newest_version(files, "snapshot")
    version = _read(former, Snapshot).version + 1 if former else 1
    snapshot = Snapshot(
        version=version,
        expires=now_utc + SNAPSHOT_LIFETIME,
        meta={"targets.json": _meta(targets.version, raw)},
    )
    kept = {
        name: content
        for name, content in files.items()
        if not name.endswith((".targets.json", ".snapshot.json"))
    }
    renewed = {
        **kept,
        f"{targets.version}.targets.json": raw,
        f"{version}.snapshot.json": _sign(snapshot, keys.snapshot),
    }
    return _with_timestamp(renewed, keys, now_utc)


def renewed(files: Files, keys: OnlineKeys, now_utc: datetime) -> Files:
    """The set with a new snapshot or timestamp where less than half of its life is left."""
    targets, snapshot = newest_version(files, "targets"), newest_version(files, "snapshot")
    if targets is None or snapshot is None:
        return files
    if _read(snapshot, Snapshot).expires - now_utc < SNAPSHOT_LIFETIME / 2:
        return with_targets(files, targets, keys, now_utc)
    if _read(files[TIMESTAMP], Timestamp).expires - now_utc < TIMESTAMP_LIFETIME / 2:
        return _with_timestamp(files, keys, now_utc)
    return files


def make_index(files: Files) -> bytes:
    """`trust/index` for this set."""
    listed = (
        TrustFile(name=name, sha256=sha256(content), size_bytes=len(content))
        for name, content in sorted(files.items())
    )
    return encode(TrustIndex(files=tuple(listed)))


def _with_timestamp(files: Files, keys: OnlineKeys, now_utc: datetime) -> Files:
    raw = newest_version(files, "snapshot")
    assert raw is not None  # noqa: S101 - every caller has just made or seen it
    former = files.get(TIMESTAMP)
    timestamp = Timestamp(
        version=_read(former, Timestamp).version + 1 if former else 1,
        expires=now_utc + TIMESTAMP_LIFETIME,
        snapshot_meta=_meta(_read(raw, Snapshot).version, raw),
        unrecognized_fields={ISSUED: now_utc.strftime("%Y-%m-%dT%H:%M:%SZ")},
    )
    return {**files, TIMESTAMP: _sign(timestamp, keys.timestamp)}


def newest_version(files: Files, role: str) -> bytes | None:
    """The published file of a role whose files carry their version in the name."""
    return next((raw for name, raw in files.items() if name.endswith(f".{role}.json")), None)


def _read(raw: bytes, _kind: type[S]) -> S:
    return Metadata[S].from_bytes(raw).signed


def _sign(signed: S, signer: Signer) -> bytes:
    metadata = Metadata(signed)
    metadata.sign(signer)
    return metadata.to_bytes()


def _meta(version: int, content: bytes) -> MetaFile:
    return MetaFile(version=version, length=len(content), hashes={"sha256": sha256(content)})
