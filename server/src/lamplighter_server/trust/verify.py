"""The server's verdict on metadata from the publishing client: what a TUF client would check."""

from datetime import datetime
from typing import Any, TypeVar

from tuf.api.exceptions import RepositoryError, UnsignedMetadataError
from tuf.api.metadata import Metadata, Root, Signed, Targets

from lamplighter_protocol.canonical import sha256
from lamplighter_protocol.errors import LamplighterError
from lamplighter_protocol.names import MAX_TRUST_FILE_BYTES

S = TypeVar("S", Root, Targets)


def check_root(raw: bytes, *, snapshot_key: str, timestamp_key: str, now_utc: datetime) -> Root:
    """A first root: signed by its own threshold, and naming the server's online keys.

    Args:
        raw: The metadata file.
        snapshot_key: The TUF key id that snapshots will be signed with.
        timestamp_key: The TUF key id that timestamps will be signed with.
        now_utc: The present time.

    Raises:
        LamplighterError: MESSAGE_TOO_LARGE, MESSAGE_MALFORMED, SIGNATURE_INVALID, TRUST_EXPIRED
            or TRUST_REFUSED.
    """
    metadata = _parse(raw, Root)
    root = metadata.signed
    _check_signed(root, "root", metadata)
    _check_time(root, now_utc)
    if root.version != 1 or not root.consistent_snapshot:
        raise LamplighterError(
            "TRUST_REFUSED", "The first root must have version 1 and consistent snapshots."
        )
    for role, key in (("snapshot", snapshot_key), ("timestamp", timestamp_key)):
        if key not in root.roles[role].keyids or root.roles[role].threshold != 1:
            raise LamplighterError(
                "TRUST_REFUSED", f"The root does not give the {role} role to this server's key."
            )
    return root


def check_targets(
    raw: bytes, *, root: Root, previous: Targets | None, now_utc: datetime
) -> Targets:
    """Targets signed as the root demands; they follow the previous ones and drop none of them.

    Raises:
        LamplighterError: MESSAGE_TOO_LARGE, MESSAGE_MALFORMED, SIGNATURE_INVALID, TRUST_EXPIRED
            or TRUST_REFUSED.
    """
    metadata = _parse(raw, Targets)
    targets = metadata.signed
    _check_signed(root, "targets", metadata)
    _check_time(targets, now_utc)
    wanted = previous.version + 1 if previous else 1
    if targets.version != wanted:
        raise LamplighterError(
            "TRUST_REFUSED", f"The targets have version {targets.version}, {wanted} comes next."
        )
    former = previous.targets if previous else {}
    if changed := sorted(
        path for path, file in former.items() if targets.targets.get(path) != file
    ):
        raise LamplighterError(
            "TRUST_REFUSED", f"Published targets may not change or vanish: {changed}."
        )
    return targets


def check_target(targets: Targets, path: str, content: bytes) -> dict[str, Any]:
    """What is signed beside a target (`custom`), which must be these very bytes.

    Raises:
        LamplighterError: TRUST_REFUSED.
    """
    file = targets.targets.get(path)
    if file is None:
        raise LamplighterError("TRUST_REFUSED", f"The signed targets do not name {path}.")
    if (file.length, file.hashes.get("sha256")) != (len(content), sha256(content)):
        raise LamplighterError("TRUST_REFUSED", f"The signed targets name another {path}.")
    return file.custom or {}


def _parse(raw: bytes, kind: type[S]) -> Metadata[S]:
    if len(raw) > MAX_TRUST_FILE_BYTES:
        raise LamplighterError(
            "MESSAGE_TOO_LARGE",
            f"The metadata has {len(raw)} bytes, the limit is {MAX_TRUST_FILE_BYTES}.",
        )
    try:
        metadata = Metadata[S].from_bytes(raw)
    except RepositoryError as error:
        raise LamplighterError(
            "MESSAGE_MALFORMED", f"The metadata cannot be read: {error}."
        ) from error
    if not isinstance(metadata.signed, kind):
        raise LamplighterError(
            "MESSAGE_MALFORMED", f"This is {metadata.signed.type} metadata, not {kind.type}."
        )
    return metadata


def _check_signed(root: Root, role: str, metadata: Metadata[S]) -> None:
    try:
        root.verify_delegate(role, metadata.signed_bytes, metadata.signatures)
    except (UnsignedMetadataError, ValueError) as error:
        raise LamplighterError("SIGNATURE_INVALID", f"The {role} metadata: {error}.") from error


def _check_time(signed: Signed, now_utc: datetime) -> None:
    if signed.is_expired(now_utc):
        raise LamplighterError(
            "TRUST_EXPIRED", f"The {signed.type} metadata expired {signed.expires.isoformat()}."
        )
