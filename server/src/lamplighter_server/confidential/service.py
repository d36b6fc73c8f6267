"""Which models are confidential, and how their releases travel."""

import asyncio
import hashlib
from collections.abc import Collection
from dataclasses import dataclass, field

from sqlalchemy import Select, select
from sqlalchemy.ext.asyncio import AsyncSession

from lamplighter_protocol.assignment import ENCRYPTED, Transfer
from lamplighter_protocol.errors import LamplighterError
from lamplighter_protocol.reported import Inventory
from lamplighter_protocol.sealed import (
    ChunkCipher,
    Recipient,
    new_release_key,
    sealed_size_bytes,
    wrap_key,
)
from lamplighter_server.blobs.objects import ObjectStore
from lamplighter_server.confidential.models import ConfidentialModel, ReleaseKey, SealedBlob
from lamplighter_server.context import Context
from lamplighter_server.releases import service as releases


@dataclass(frozen=True)
class Offer:
    """How one confidential release travels.

    Attributes:
        manifest_sha256: Of the plain manifest.
        transfers: Its files.
        key: The release's key, to be wrapped for each device.
    """

    manifest_sha256: str
    transfers: tuple[Transfer, ...]
    key: bytes = field(repr=False)


async def is_protected(session: AsyncSession, model: str) -> bool:
    """Whether a model's releases travel sealed."""
    return await session.get(ConfidentialModel, model) is not None


async def protect(context: Context, session: AsyncSession, model: str) -> int:
    """Let every release of a model, also those to come, travel sealed; return how many there are.

    What the broker holds of it in plain form is cleared by `blobs.reconcile`.
    """
    if not await is_protected(session, model):
        session.add(ConfidentialModel(model=model, since_utc=context.clock()))
        await session.flush()
    published = await releases.ls(session, model)
    for release in published:
        await offer(context, session, model, release.number)
    return len(published)


async def unprotect(session: AsyncSession, model: str) -> None:
    """Let a model travel as it is from now on. Keys stay: updates under way may need them."""
    if (row := await session.get(ConfidentialModel, model)) is not None:
        await session.delete(row)
        await session.flush()


async def offer(context: Context, session: AsyncSession, model: str, release: int) -> Offer | None:
    """How a release travels, or None if it does so as it is. The first call makes its key.

    Raises:
        LamplighterError: NOT_FOUND.
    """
    if not await is_protected(session, model):
        return None
    key = await _release_key(session, model, release)
    manifest = await releases.load_manifest(context, session, model, release)
    manifest_sha256 = (await releases.get(session, model, release)).manifest_sha256
    plain = {manifest_sha256, *(blob.sha256 for blob in manifest.files.values())}
    sealed = await _find_sealed(session, model, release)
    for sha256 in sorted(plain - {row.sha256 for row in sealed}):
        if context.objects.size_bytes(sha256):  # an empty file has no chunk to seal
            sealed.append(await _seal(context.objects, sha256, key, model, release))
            session.add(sealed[-1])
    await session.flush()
    transfers = [
        Transfer(
            kind=ENCRYPTED,
            sha256=row.sha256,
            wire_sha256=row.wire_sha256,
            wire_size_bytes=sealed_size_bytes(context.objects.size_bytes(row.sha256)),
        )
        for row in sorted(sealed, key=lambda row: row.sha256)
    ]
    return Offer(manifest_sha256, tuple(transfers), key)


def wrap(
    offered: Offer, *, fleet: str, device: str, public: bytes | None, model: str, release: int
) -> bytes | None:
    """The release's key for one device; None if the device has no key to open it."""
    if public is None:
        return None
    recipient = Recipient(
        fleet=fleet,
        device=device,
        model=model,
        release=release,
        manifest_sha256=offered.manifest_sha256,
    )
    return wrap_key(offered.key, public, recipient)


def check_receiver(device: str, public: bytes | None, inventory: Inventory) -> None:
    """Refuse a device to which nothing can travel sealed.

    Raises:
        LamplighterError: CAPABILITY_MISSING or DEVICE_KEY_MISSING.
    """
    if ENCRYPTED not in inventory.transfers:
        raise LamplighterError(
            "CAPABILITY_MISSING",
            f"Agent {inventory.agent_version} of {device} cannot open a confidential release.",
        )
    if public is None:
        raise LamplighterError(
            "DEVICE_KEY_MISSING", f"{device} enrolled before devices kept an agreement key."
        )


async def names_on_wire(
    context: Context, session: AsyncSession, model: str, release: int, sha256s: Collection[str]
) -> list[str]:
    """The digests under which files of a release travel.

    Raises:
        LamplighterError: NOT_FOUND.
    """
    offered = await offer(context, session, model, release)
    on_wire = {item.sha256: item.wire_sha256 for item in offered.transfers} if offered else {}
    return [on_wire.get(sha256, sha256) for sha256 in sha256s]


def select_confidential() -> Select[str]:
    """Digests of plain files that must not be published."""
    return select(SealedBlob.sha256).join(
        ConfidentialModel, ConfidentialModel.model == SealedBlob.model
    )


async def is_confidential(session: AsyncSession, sha256: str) -> bool:
    """Whether a file must not be published as it is."""
    query = select_confidential().where(SealedBlob.sha256 == sha256).limit(1)
    return (await session.scalars(query)).first() is not None


async def find_source(
    context: Context, session: AsyncSession, wire_sha256: str
) -> tuple[str, ChunkCipher] | None:
    """The plain file behind a name on the wire, and what seals it; None if it is no such name."""
    row = await session.get(SealedBlob, wire_sha256)
    if row is None:
        return None
    key = await _release_key(session, row.model, row.release)
    return row.sha256, _cipher(context.objects, row.sha256, key)


async def keep_sealed(session: AsyncSession, sha256s: Collection[str]) -> set[str]:
    """Those of some digests that are names of sealed files on the wire."""
    query = select(SealedBlob.wire_sha256).where(SealedBlob.wire_sha256.in_(sha256s))
    return set(await session.scalars(query))


async def _release_key(session: AsyncSession, model: str, release: int) -> bytes:
    row = await session.get(ReleaseKey, (model, release))
    if row is None:
        row = ReleaseKey(model=model, release=release, key=new_release_key())
        session.add(row)
        await session.flush()
    return row.key


async def _find_sealed(session: AsyncSession, model: str, release: int) -> list[SealedBlob]:
    query = select(SealedBlob).where(SealedBlob.model == model, SealedBlob.release == release)
    return list(await session.scalars(query))


async def _seal(
    objects: ObjectStore, sha256: str, key: bytes, model: str, release: int
) -> SealedBlob:
    wire_sha256 = await asyncio.to_thread(_digest_sealed, objects, sha256, key)
    return SealedBlob(wire_sha256=wire_sha256, sha256=sha256, model=model, release=release)


def _digest_sealed(objects: ObjectStore, sha256: str, key: bytes) -> str:
    cipher, digest = _cipher(objects, sha256, key), hashlib.sha256()
    for number in range(objects.chunk_count(sha256)):
        digest.update(cipher.seal(number, objects.chunk(sha256, number)))
    return digest.hexdigest()


def _cipher(objects: ObjectStore, sha256: str, key: bytes) -> ChunkCipher:
    return ChunkCipher(key, sha256, objects.size_bytes(sha256))
