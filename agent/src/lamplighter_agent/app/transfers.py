"""In which form the files of an assigned release travel to this device: pure."""

from collections.abc import Callable, Iterable

import msgspec

from lamplighter_agent.link.wanted import Patch, Wanted
from lamplighter_agent.store.identity import Identity
from lamplighter_protocol.assignment import ENCRYPTED, PATCHES, AssignedModel, PatchKind, Transfer
from lamplighter_protocol.blobs import BlobRef
from lamplighter_protocol.errors import LamplighterError
from lamplighter_protocol.sealed import ChunkCipher, Recipient, sealed_size_bytes, unwrap_key


def plan_transfers(
    files: Iterable[BlobRef],
    assigned: AssignedModel,
    identity: Identity,
    has: Callable[[str], bool],
) -> list[Wanted]:
    """Find out how to fetch the files of a release.

    Args:
        files: What was signed of them.
        assigned: What is on offer.
        identity: Who opens confidential files.
        has: Whether a file is in the store, as the base of a patch must be.

    Raises:
        LamplighterError: CAPABILITY_MISSING if one travels in a form that this agent does not
            know, DEVICE_KEY_MISSING if this device has no key to open it, KEY_REFUSED if its key
            is for another device or release, or TRUST_REFUSED if its length cannot be right.
    """
    on_offer = {transfer.sha256: transfer for transfer in assigned.transfers}
    return [
        _choose(blob, on_offer[blob.sha256], assigned, identity, has)
        if blob.sha256 in on_offer
        else Wanted(blob, blob.sha256)
        for blob in files
    ]


def _choose(
    blob: BlobRef,
    transfer: Transfer,
    assigned: AssignedModel,
    identity: Identity,
    has: Callable[[str], bool],
) -> Wanted:
    if transfer.kind not in PATCHES:
        return _open(blob, transfer, assigned, identity)
    base = transfer.base_sha256
    if base is not None and not has(base):
        return Wanted(blob, blob.sha256)
    try:
        wire = BlobRef(
            sha256=transfer.wire_sha256,
            size_bytes=transfer.wire_size_bytes,
            chunk_sha256=transfer.chunk_sha256,
        )
        patch = Patch(msgspec.convert(transfer.kind, PatchKind), wire, base)
    except ValueError:  # an offer that cannot be right is none
        return Wanted(blob, blob.sha256)
    return Wanted(blob, blob.sha256, patch=patch)


def _open(blob: BlobRef, transfer: Transfer, assigned: AssignedModel, identity: Identity) -> Wanted:
    name = f"{assigned.model} release {assigned.release}"
    if transfer.kind != ENCRYPTED:
        raise LamplighterError(
            "CAPABILITY_MISSING", f"{name} travels as {transfer.kind!r}, unknown to this agent."
        )
    if identity.agreement is None or assigned.wrapped_key is None:
        raise LamplighterError(
            "DEVICE_KEY_MISSING",
            f"{name} is confidential, and {identity.enrolment.device} enrolled without a key "
            "that could open it.",
        )
    if transfer.wire_size_bytes != sealed_size_bytes(blob.size_bytes):
        raise LamplighterError(
            "TRUST_REFUSED",
            f"{transfer.wire_size_bytes} bytes on offer do not open to {blob.size_bytes}.",
        )
    recipient = Recipient(
        fleet=identity.enrolment.fleet,
        device=identity.enrolment.device,
        model=assigned.model,
        release=assigned.release,
        manifest_sha256=assigned.manifest.sha256,
    )
    release_key = unwrap_key(assigned.wrapped_key, identity.agreement, recipient)
    cipher = ChunkCipher(release_key, blob.sha256, blob.size_bytes)
    return Wanted(blob, transfer.wire_sha256, cipher)
