"""What offline keys sign: pure functions on TUF metadata.

Nothing that a server says is signed unread: every digest comes from bytes that are here, and
`changes` says in words what a signature would add.
"""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any, Final

from securesystemslib.signer import CryptoSigner, Key, SSlibKey
from tuf.api.metadata import Metadata, Root, TargetFile, Targets
from tuf.api.serialization.json import JSONSerializer

from lamplighter_protocol.errors import LamplighterError
from lamplighter_protocol.names import DIRECTOR_KEYS_TARGET, evidence_target, manifest_target

ROOT_LIFETIME: Final = timedelta(days=365)
TARGETS_LIFETIME: Final = timedelta(days=365)


def read_key(document: Mapping[str, Any]) -> Key:
    """A public key as the server shows it.

    Raises:
        LamplighterError: MESSAGE_MALFORMED.
    """
    try:
        fields = dict(document)
        return SSlibKey.from_dict(fields.pop("keyid"), fields)
    except (KeyError, TypeError, ValueError) as error:
        raise LamplighterError("MESSAGE_MALFORMED", f"Not a TUF key: {error}.") from error


def first_root(
    *, root: CryptoSigner, targets: Key, snapshot: Key, timestamp: Key, now_utc: datetime
) -> bytes:
    """The first root: who holds which role. Signed by the root key."""
    signed = Root(expires=_whole(now_utc + ROOT_LIFETIME), consistent_snapshot=True)
    holders = {
        Root.type: root.public_key,
        Targets.type: targets,
        "snapshot": snapshot,
        "timestamp": timestamp,
    }
    for role, key in holders.items():
        signed.add_key(key, role)
    return _signed(signed, root)


def first_targets(director_keys: bytes, *, signer: CryptoSigner, now_utc: datetime) -> bytes:
    """The first targets: the director's keys and no release."""
    signed = Targets(expires=_whole(now_utc + TARGETS_LIFETIME))
    _add(signed, DIRECTOR_KEYS_TARGET, director_keys, {})
    return _signed(signed, signer)


def next_targets(
    previous: bytes,
    *,
    model: str,
    release: int,
    manifest: bytes,
    evidence: bytes,
    signer: CryptoSigner,
    now_utc: datetime,
) -> bytes:
    """The targets with one more release.

    Args:
        previous: The newest targets that were signed, as raw metadata.
        model: The model's name.
        release: The release's number.
        manifest: The bytes of `bundle.json`.
        evidence: The bytes of `evidence.json`.
        signer: The targets key.
        now_utc: The present time.

    Raises:
        LamplighterError: RELEASE_IMMUTABLE if the release was signed with other bytes.
    """
    signed = read_targets(previous)
    for path, raw in (
        (manifest_target(model, release), manifest),
        (evidence_target(model, release), evidence),
    ):
        if path in signed.targets:
            raise LamplighterError("RELEASE_IMMUTABLE", f"{path} has been signed already.")
        _add(signed, path, raw, {"model": model, "release": release})
    signed.version += 1
    signed.expires = _whole(now_utc + TARGETS_LIFETIME)
    return _signed(signed, signer)


def read_targets(raw: bytes) -> Targets:
    """Targets from raw metadata that was verified before."""
    return Metadata[Targets].from_bytes(raw).signed


def changes(old: bytes, new: bytes) -> list[str]:
    """In words, what `new` targets change: shown before a passphrase is asked for."""
    before, after = read_targets(old), read_targets(new)
    lines = [f"targets version {before.version} -> {after.version}"]
    for path in sorted(before.targets.keys() | after.targets.keys()):
        was, will = before.targets.get(path), after.targets.get(path)
        if was == will:
            continue
        digest = will.hashes["sha256"][:16] if will else "removed"
        lines.append(f"{'+' if was is None else '!' if will else '-'} {path}  {digest}")
    return lines


def _add(signed: Targets, path: str, raw: bytes, custom: dict[str, Any]) -> None:
    target = TargetFile.from_data(path, raw, ["sha256"])
    if custom:
        target.unrecognized_fields["custom"] = custom
    signed.targets[path] = target


def _whole(moment: datetime) -> datetime:
    return moment.replace(microsecond=0)


def _signed(signed: Root | Targets, signer: CryptoSigner) -> bytes:
    metadata: Metadata[Any] = Metadata(signed)
    metadata.sign(signer)
    return metadata.to_bytes(JSONSerializer(compact=True))
