"""The set of metadata files that belong together, and its next states: pure."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final, TypeVar

from securesystemslib.signer import Signer
from tuf.api.metadata import Metadata, MetaFile, Snapshot, Timestamp

from lamplighter_protocol.canonical import encode, sha256
from lamplighter_protocol.errors import LamplighterError
from lamplighter_protocol.trust import TrustFile, TrustIndex
from lamplighter_server.trust.roles import ROOT, Roles, read_role

FIRST_ROOT: Final = "1.root.json"
DIRECTOR_KEYS: Final = "director-keys.json"
SNAPSHOT_LIFETIME: Final = timedelta(days=30)
TIMESTAMP_LIFETIME: Final = timedelta(days=7)
#: Not of TUF: clients without a clock take it as a floor of time.
ISSUED: Final = "issued_utc"

_SNAPSHOT: Final = "snapshot"
_TIMESTAMP: Final = "timestamp.json"
_VERSIONED: Final = re.compile(r"([0-9]+)\.(.+)\.json")

#: Content by name, all of one moment. Empty before bootstrap.
Files = Mapping[str, bytes]
S = TypeVar("S", Snapshot, Timestamp)


@dataclass(frozen=True)
class OnlineSigners:
    """What signs without a person: the keys that the root names."""

    snapshot: Signer
    timestamp: Signer


def require(files: Files, name: str) -> bytes:
    """One file of the set.

    Raises:
        LamplighterError: TRUST_MISSING.
    """
    if name not in files:
        raise LamplighterError("TRUST_MISSING", "This server has no TUF root yet.")
    return files[name]


def newest(files: Files) -> dict[str, bytes]:
    """The newest file of each role whose files carry their version in the name."""
    versions = sorted(
        (int(found[1]), found[2], name)
        for name in files
        if (found := _VERSIONED.fullmatch(name)) is not None
    )
    return {role: files[name] for _, role, name in versions}


def offline_roles(files: Files) -> Roles:
    """The offline roles in force."""
    return {role: raw for role, raw in newest(files).items() if role != _SNAPSHOT}


def with_roles(files: Files, offered: Roles, signers: OnlineSigners, now_utc: datetime) -> Files:
    """The set after new (already verified) offline roles, with a snapshot that names them.

    Every root stays, so that a client can walk from any of them to the newest. A role that was
    ever named by a snapshot stays named, as clients demand it.
    """
    outdated = {
        name
        for name in files
        if (found := _VERSIONED.fullmatch(name)) is not None
        and found[2] in offered
        and found[2] != ROOT
    }
    kept = {name: raw for name, raw in files.items() if name not in outdated}
    added = {
        f"{read_role(role, raw).signed.version}.{role}.json": raw for role, raw in offered.items()
    }
    return _with_snapshot({**kept, **added}, signers, now_utc)


def renewed(files: Files, signers: OnlineSigners, now_utc: datetime) -> Files:
    """The set with a new snapshot or timestamp where less than half of its life is left."""
    if _read(newest(files)[_SNAPSHOT], Snapshot).expires - now_utc < SNAPSHOT_LIFETIME / 2:
        return _with_snapshot(files, signers, now_utc)
    if _read(files[_TIMESTAMP], Timestamp).expires - now_utc < TIMESTAMP_LIFETIME / 2:
        return _with_timestamp(files, signers, now_utc)
    return files


def make_index(files: Files) -> bytes:
    """`trust/index` for this set."""
    listed = (
        TrustFile(name=name, sha256=sha256(content), size_bytes=len(content))
        for name, content in sorted(files.items())
    )
    return encode(TrustIndex(files=tuple(listed)))


def _with_snapshot(files: Files, signers: OnlineSigners, now_utc: datetime) -> Files:
    versioned = newest(files)
    former = versioned.pop(_SNAPSHOT, None)
    version = _read(former, Snapshot).version + 1 if former else 1
    snapshot = Snapshot(
        version=version,
        expires=now_utc + SNAPSHOT_LIFETIME,
        meta={
            f"{role}.json": _meta(read_role(role, raw).signed.version, raw)
            for role, raw in versioned.items()
            if role != ROOT
        },
    )
    kept = {name: raw for name, raw in files.items() if not name.endswith(f".{_SNAPSHOT}.json")}
    return _with_timestamp(
        {**kept, f"{version}.{_SNAPSHOT}.json": _sign(snapshot, signers.snapshot)}, signers, now_utc
    )


def _with_timestamp(files: Files, signers: OnlineSigners, now_utc: datetime) -> Files:
    snapshot = newest(files)[_SNAPSHOT]
    former = files.get(_TIMESTAMP)
    timestamp = Timestamp(
        version=_read(former, Timestamp).version + 1 if former else 1,
        expires=now_utc + TIMESTAMP_LIFETIME,
        snapshot_meta=_meta(_read(snapshot, Snapshot).version, snapshot),
        unrecognized_fields={ISSUED: now_utc.strftime("%Y-%m-%dT%H:%M:%SZ")},
    )
    return {**files, _TIMESTAMP: _sign(timestamp, signers.timestamp)}


def _read(raw: bytes, _kind: type[S]) -> S:
    return Metadata[S].from_bytes(raw).signed


def _sign(signed: S, signer: Signer) -> bytes:
    metadata = Metadata(signed)
    metadata.sign(signer)
    return metadata.to_bytes()


def _meta(version: int, content: bytes) -> MetaFile:
    return MetaFile(version=version, length=len(content), hashes={"sha256": sha256(content)})
