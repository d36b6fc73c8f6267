"""What offline keys sign: pure functions on TUF metadata.

Nothing that a server says is signed unread: every digest comes from bytes that are here, and
`changes` says in words what a signature would add.
"""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any, Final

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from securesystemslib.exceptions import UnverifiedSignatureError
from securesystemslib.signer import CryptoSigner, Key, SSlibKey
from tuf.api.metadata import Metadata, Root, TargetFile, Targets
from tuf.api.serialization.json import JSONSerializer

from lamplighter_converters.pack import Bundle
from lamplighter_protocol.blobs import describe
from lamplighter_protocol.bundle import decode_manifest
from lamplighter_protocol.errors import LamplighterError
from lamplighter_protocol.names import DIRECTOR_KEYS_TARGET, evidence_target, manifest_target

ROOT_LIFETIME: Final = timedelta(days=365)
TARGETS_LIFETIME: Final = timedelta(days=365)


def read_key(document: Mapping[str, Any]) -> Key:
    """A public Ed25519 key as the server shows it.

    Raises:
        LamplighterError: MESSAGE_MALFORMED, or TRUST_REFUSED if its id is not its own: under the
            id of another key it would take that key's place in the root.
    """
    try:
        fields = dict(document)
        key = SSlibKey.from_dict(fields.pop("keyid"), fields)
        raw = bytes.fromhex(key.keyval["public"])
        own = SSlibKey.from_crypto(Ed25519PublicKey.from_public_bytes(raw))
    except (KeyError, TypeError, ValueError) as error:
        raise LamplighterError("MESSAGE_MALFORMED", f"Not a TUF key: {error}.") from error
    if key != own:
        raise LamplighterError("TRUST_REFUSED", f"The key {key.keyid} is not what its id says.")
    return own


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


def check_bundle(bundle: Bundle) -> None:
    """Recompute every digest from the bytes that are here.

    Raises:
        LamplighterError: TRUST_REFUSED if a file is not the one that the manifest names, and what
            decode_manifest raises.
    """
    named = decode_manifest(bundle.manifest_raw).files
    differing = sorted(
        name
        for name in named.keys() | bundle.files.keys()
        if name not in bundle.files or named.get(name) != describe(bundle.files[name])
    )
    if differing:
        raise LamplighterError(
            "TRUST_REFUSED", f"Files are not what the manifest says of them: {differing}."
        )


def next_targets(
    previous: bytes,
    *,
    model: str,
    release: int,
    manifest: bytes,
    evidence: bytes,
    now_utc: datetime,
) -> bytes:
    """The targets with one more release, not signed yet.

    Args:
        previous: The newest targets that were signed, as raw metadata.
        model: The model's name.
        release: The release's number.
        manifest: The bytes of `bundle.json`.
        evidence: The bytes of `evidence.json`.
        now_utc: The present time.

    Returns:
        Raw metadata; `previous` itself if it holds the very release already.

    Raises:
        LamplighterError: RELEASE_IMMUTABLE if the release was signed with other bytes.
    """
    targets = read_targets(previous)
    former = dict(targets.targets)
    for path, raw in (
        (manifest_target(model, release), manifest),
        (evidence_target(model, release), evidence),
    ):
        _add(targets, path, raw, {"model": model, "release": release})
        if path in former and former[path] != targets.targets[path]:
            raise LamplighterError(
                "RELEASE_IMMUTABLE", f"{path} has been signed already, with other content."
            )
    if targets.targets == former:
        return previous
    targets.version += 1
    targets.expires = _whole(now_utc + TARGETS_LIFETIME)
    return _raw(Metadata(targets))


def sign_next(previous: bytes, targets: bytes, signer: CryptoSigner) -> bytes:
    """Sign what `next_targets` gave, on top of what the same key has signed before.

    Raises:
        LamplighterError: SIGNATURE_INVALID if the key has not signed `previous`.
    """
    before = Metadata[Targets].from_bytes(previous)
    key = signer.public_key
    try:
        key.verify_signature(before.signatures[key.keyid], before.signed_bytes)
    except (KeyError, UnverifiedSignatureError) as error:
        raise LamplighterError(
            "SIGNATURE_INVALID", "The former targets were not signed with this key."
        ) from error
    return _signed(read_targets(targets), signer)


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
    return _raw(metadata)


def _raw(metadata: Metadata[Any]) -> bytes:
    return metadata.to_bytes(JSONSerializer(compact=True))
