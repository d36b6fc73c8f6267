"""Which patches there are, and which are offered."""

from functools import lru_cache

from sqlalchemy import Select, select
from sqlalchemy.ext.asyncio import AsyncSession

from lamplighter_protocol.assignment import Transfer
from lamplighter_protocol.blobs import describe
from lamplighter_protocol.errors import LamplighterError
from lamplighter_protocol.reported import Inventory, Reported
from lamplighter_server.blobs.objects import ObjectStore
from lamplighter_server.confidential import service as confidential
from lamplighter_server.context import Context
from lamplighter_server.patches.models import NO_BASE, Patch
from lamplighter_server.releases import service as releases

Running = tuple[int, str]
"""The release and variant that a device runs."""


def running(report: Reported | None, model: str) -> Running | None:
    """What a device runs of a model, as it has reported."""
    found = [item.active for item in report.models if item.model == model] if report else []
    return (found[0].release, found[0].variant) if found and found[0] is not None else None


async def find(
    context: Context,
    session: AsyncSession,
    *,
    model: str,
    release: int,
    variant: str,
    former: Running | None,
) -> tuple[Transfer, ...]:
    """The patches for the files of a release, each the smallest, for devices that run `former`.

    Raises:
        LamplighterError: NOT_FOUND.
    """
    manifest = await releases.load_manifest(context, session, model, release)
    bases = {NO_BASE}
    if former is not None:
        bases |= await _files(context, session, model, *former)
    wanted = {blob.sha256 for blob in manifest.blobs_for(variant).values()}
    query = select(Patch).where(Patch.sha256.in_(wanted), Patch.base_sha256.in_(bases))
    smallest: dict[str, Patch] = {}
    for row in await session.scalars(query.order_by(Patch.wire_size_bytes.desc())):
        smallest[row.sha256] = row
    return tuple(_transfer(context.objects, row) for _, row in sorted(smallest.items()))


def suitable(offers: tuple[Transfer, ...], inventory: Inventory) -> tuple[Transfer, ...]:
    """The offers that an agent understands; one that does not know a form would refuse all."""
    return tuple(offer for offer in offers if offer.kind in inventory.transfers)


def select_confidential() -> Select[str]:
    """Digests of patches that would tell of a confidential file; they are never published."""
    secret = confidential.select_confidential()
    return select(Patch.wire_sha256).where(Patch.sha256.in_(secret) | Patch.base_sha256.in_(secret))


async def _files(
    context: Context, session: AsyncSession, model: str, release: int, variant: str
) -> set[str]:
    """What a device holds that runs a release; nothing if this server does not know it."""
    try:
        manifest = await releases.load_manifest(context, session, model, release)
        return {blob.sha256 for blob in manifest.blobs_for(variant).values()}
    except LamplighterError:
        return set()


def _transfer(objects: ObjectStore, row: Patch) -> Transfer:
    return Transfer(
        kind=row.kind,
        sha256=row.sha256,
        wire_sha256=row.wire_sha256,
        wire_size_bytes=row.wire_size_bytes,
        chunk_sha256=_chunks(objects, row.wire_sha256),
        base_sha256=row.base_sha256 or None,
    )


@lru_cache(maxsize=256)
def _chunks(objects: ObjectStore, sha256: str) -> tuple[str, ...]:
    """Content-addressed, so they never change."""
    return describe(objects.read(sha256)).chunk_sha256
