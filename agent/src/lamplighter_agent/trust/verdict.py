"""The verdict on one metadata file: bytes in, verdict out, without I/O and without a clock.

Parsing, keys, thresholds and signatures are python-tuf's. What the TUF specification (1.0.34)
leaves to a client stands here; the numbers in comments are its sections.
"""

import contextlib
from collections.abc import Iterator
from datetime import datetime
from typing import TypeVar

from tuf.api.exceptions import RepositoryError
from tuf.api.metadata import Metadata, MetaFile, Root, Signed, Snapshot, Targets, Timestamp

from lamplighter_protocol.errors import LamplighterError

_T = TypeVar("_T", Root, Timestamp, Snapshot, Targets)
Delegator = Root | Targets


@contextlib.contextmanager
def refusals(what: str) -> Iterator[None]:
    """Turn what python-tuf raises into an expected error.

    Raises:
        LamplighterError: TRUST_REFUSED.
    """
    try:
        yield
    except (RepositoryError, ValueError) as error:
        raise LamplighterError("TRUST_REFUSED", f"The signed {what}: {error}.") from error


def check_unexpired(role: str, signed: Signed, now_utc: datetime) -> None:
    """Refuse metadata whose time is over: a freeze attack (5.3.10, 5.4.4, 5.5.6, 5.6.5).

    Raises:
        LamplighterError: TRUST_EXPIRED.
    """
    if signed.is_expired(now_utc):
        raise LamplighterError("TRUST_EXPIRED", f"The signed {role} expired {signed.expires}.")


def read_signed(kind: type[_T], raw: bytes, delegator: Delegator, role: str) -> _T:
    """Metadata of this kind, signed by a threshold of the keys that the delegator gives the role.

    Raises:
        LamplighterError: TRUST_REFUSED.
    """
    with refusals(role):
        metadata = _parse(kind, raw)
        delegator.verify_delegate(role, metadata.signed_bytes, metadata.signatures)
        return metadata.signed


def _parse(kind: type[_T], raw: bytes) -> Metadata[_T]:
    metadata = Metadata[_T].from_bytes(raw)
    if not isinstance(metadata.signed, kind):
        raise RepositoryError(f"this is {metadata.signed.type} metadata")
    return metadata


def trusted_root(raw: bytes) -> Root:
    """The root to begin with (5.2): trusted already, so only what could never work is refused.

    Raises:
        LamplighterError: TRUST_REFUSED.
    """
    with refusals("root"):
        root = _parse(Root, raw).signed
    return read_signed(Root, raw, root, "root")


def next_root(trusted: Root, raw: bytes) -> Root:
    """The root after a trusted one: signed by both, and its very successor (5.3.4, 5.3.5).

    Its expiry does not matter yet (5.3.6).

    Raises:
        LamplighterError: TRUST_REFUSED.
    """
    root = read_signed(Root, raw, trusted, "root")
    read_signed(Root, raw, root, "root")
    if root.version != trusted.version + 1:
        raise LamplighterError(
            "TRUST_REFUSED", f"Root {root.version} cannot follow root {trusted.version}."
        )
    return root


def revokes_online_keys(before: Root, after: Root) -> bool:
    """Whether a key lost the timestamp or snapshot role: recovery from fast-forward (5.3.11)."""

    def keys(root: Root, role: str) -> dict[str, object]:
        return {keyid: root.keys.get(keyid) for keyid in root.roles[role].keyids}

    return any(
        not keys(before, role).items() <= keys(after, role).items()
        for role in ("timestamp", "snapshot")
    )


def next_timestamp(raw: bytes, root: Root, trusted: Timestamp | None) -> Timestamp:
    """The timestamp to use: the new one, or the trusted one where the version is the same.

    Raises:
        LamplighterError: TRUST_REFUSED.
    """
    timestamp = read_signed(Timestamp, raw, root, "timestamp")  # 5.4.2
    if trusted is None:
        return timestamp
    _check_rollback("timestamp", trusted.version, timestamp.version)  # 5.4.3.1
    if timestamp.version == trusted.version:
        return trusted
    _check_rollback("snapshot", trusted.snapshot_meta.version, timestamp.snapshot_meta.version)
    return timestamp


def next_snapshot(raw: bytes, root: Root, named: MetaFile, trusted: Snapshot | None) -> Snapshot:
    """The snapshot that the timestamp names.

    Raises:
        LamplighterError: TRUST_REFUSED.
    """
    with refusals("snapshot"):
        named.verify_length_and_hashes(raw)  # 5.5.2
    snapshot = read_signed(Snapshot, raw, root, "snapshot")  # 5.5.3
    _check_version("snapshot", named, snapshot)  # 5.5.4
    for name, meta in (trusted.meta if trusted else {}).items():  # 5.5.5
        if name not in snapshot.meta:
            raise LamplighterError("TRUST_REFUSED", f"The signed snapshot has lost {name}.")
        _check_rollback(name, meta.version, snapshot.meta[name].version)
    return snapshot


def named_targets(raw: bytes, role: str, delegator: Delegator, named: MetaFile) -> Targets:
    """Targets of a role, as the snapshot names them and as the delegator demands.

    Raises:
        LamplighterError: TRUST_REFUSED.
    """
    with refusals(role):
        named.verify_length_and_hashes(raw)  # 5.6.2
    targets = read_signed(Targets, raw, delegator, role)  # 5.6.3
    _check_version(role, named, targets)  # 5.6.4
    return targets


def _check_rollback(what: str, trusted: int, offered: int) -> None:
    if offered < trusted:
        raise LamplighterError(
            "TRUST_REFUSED", f"The signed {what} has version {offered}, here is {trusted} already."
        )


def _check_version(role: str, named: MetaFile, signed: Signed) -> None:
    if signed.version != named.version:
        raise LamplighterError(
            "TRUST_REFUSED",
            f"The signed {role} has version {signed.version}, version {named.version} was named.",
        )
