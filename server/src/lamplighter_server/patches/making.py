"""Makes patches, one release at a time, beside everything else that the server does."""

import asyncio
from collections.abc import AsyncIterator
from typing import Final

from sqlalchemy import and_, select
from sqlalchemy.ext.asyncio import AsyncSession

from lamplighter_protocol.bundle import Manifest
from lamplighter_protocol.canonical import sha256
from lamplighter_server.confidential import service as confidential
from lamplighter_server.context import Context
from lamplighter_server.patches.models import NO_BASE, Patch, PatchedRelease
from lamplighter_server.patches.smallest import find_smallest, is_suitable
from lamplighter_server.releases import service as releases
from lamplighter_server.releases.models import Release

FORMER_RELEASES: Final = 3
"""Devices further behind fetch whole files, compressed."""


async def tick(context: Context) -> None:
    """Make the patches of the newest release that has none yet.

    A release that is assigned before its turn travels whole, which is slower and nothing else.
    """
    async with context.database.reading() as session:
        due = await _find_due(session)
        if due is None:
            return
        secret = await confidential.is_protected(session, due.model)
        bases = {} if secret else await _find_bases(context, session, due)
    made = [row for digest in sorted(bases) async for row in _make(context, digest, bases[digest])]
    async with context.database.transaction() as session:
        for row in made:
            await session.merge(row)
        await session.merge(PatchedRelease(model=due.model, release=due.number))


async def _find_due(session: AsyncSession) -> Release | None:
    done = and_(PatchedRelease.model == Release.model, PatchedRelease.release == Release.number)
    query = select(Release).where(~select(PatchedRelease).where(done).exists())
    return (await session.scalars(query.order_by(Release.id.desc()).limit(1))).first()


async def _find_bases(context: Context, session: AsyncSession, due: Release) -> dict[str, set[str]]:
    """Every suitable file of a release, and the same variant's former files."""
    manifest = await releases.load_manifest(context, session, due.model, due.number)
    numbers = [row.number for row in await releases.ls(session, due.model)]
    former = [number for number in numbers if number < due.number][-FORMER_RELEASES:]
    manifests = [
        await releases.load_manifest(context, session, due.model, number) for number in former
    ]
    files = {item.name: manifest.files[item.file] for item in manifest.variants}
    return {
        blob.sha256: _bases(manifests, variant) - {blob.sha256}
        for variant, blob in files.items()
        if is_suitable(blob.size_bytes)
    }


def _bases(manifests: list[Manifest], variant: str) -> set[str]:
    return {
        manifest.files[item.file].sha256
        for manifest in manifests
        for item in manifest.variants
        if item.name == variant and is_suitable(manifest.files[item.file].size_bytes)
    }


async def _make(context: Context, digest: str, bases: set[str]) -> AsyncIterator[Patch]:
    """The file by itself, and from each base where that is smaller still."""
    objects = context.objects
    new = await asyncio.to_thread(objects.read, digest)
    otherwise_bytes = len(new)
    for base_digest in (NO_BASE, *sorted(bases)):
        base = await asyncio.to_thread(objects.read, base_digest) if base_digest else None
        found = await asyncio.to_thread(find_smallest, new, base, otherwise_bytes)
        if found is None:
            continue
        wire_sha256, size_bytes = sha256(found.patch), len(found.patch)
        if base is None:
            otherwise_bytes = size_bytes
        await objects.put(wire_sha256, _parts(found.patch))
        yield Patch(
            sha256=digest,
            base_sha256=base_digest,
            kind=found.kind,
            wire_sha256=wire_sha256,
            wire_size_bytes=size_bytes,
        )


async def _parts(raw: bytes) -> AsyncIterator[bytes]:
    yield raw
