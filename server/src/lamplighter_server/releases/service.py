"""Releases: taken in once, complete and signed, and never changed."""

from collections.abc import Sequence
from datetime import datetime
from functools import lru_cache
from typing import Any

import msgspec
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from lamplighter_protocol.bundle import Manifest, decode_manifest
from lamplighter_protocol.errors import LamplighterError
from lamplighter_protocol.names import check_name, evidence_target, manifest_target
from lamplighter_server.blobs.objects import ObjectStore
from lamplighter_server.context import Context
from lamplighter_server.releases.models import Alias, Release
from lamplighter_server.trust import service as trust


async def publish(
    context: Context,
    session: AsyncSession,
    *,
    model: str,
    number: int,
    manifest_sha256: str,
    evidence_sha256: str,
    role: str,
    targets: bytes,
) -> Release:
    """Accept a release whose files are stored and whose manifest the new targets name.

    `targets` is the metadata of `role`: of the top-level targets role, or of a delegated one.

    Raises:
        LamplighterError: RELEASE_IMMUTABLE if the number is taken; NOT_FOUND or BLOB_REFUSED if a
            file is missing or of another length; MESSAGE_MALFORMED, CAPABILITY_MISSING or
            TRUST_REFUSED if the manifest is not the one that was announced and signed; and what
            trust.service.accept_roles raises.
    """
    former = await _find(session, model, number)
    if former is not None:
        if (former.manifest_sha256, former.evidence_sha256) != (manifest_sha256, evidence_sha256):
            raise LamplighterError(
                "RELEASE_IMMUTABLE", f"{model} release {number} exists with other content."
            )
        return former
    manifest_raw = context.objects.read(manifest_sha256)
    evidence_raw = context.objects.read(evidence_sha256)
    manifest = decode_manifest(manifest_raw)
    if (manifest.model, manifest.release) != (model, number):
        raise LamplighterError(
            "TRUST_REFUSED",
            f"The manifest is of {manifest.model} release {manifest.release}, "
            f"not {model} release {number}.",
        )
    _check_complete(context.objects, manifest)
    evidence = _read_evidence(evidence_raw)
    path = manifest_target(model, number)
    contents = {path: manifest_raw, evidence_target(model, number): evidence_raw}
    await trust.accept_roles(context, session, {role: targets}, contents)
    release = Release(
        model=model,
        number=number,
        manifest_sha256=manifest_sha256,
        manifest_size_bytes=len(manifest_raw),
        evidence_sha256=evidence_sha256,
        published_utc=context.clock(),
        evidence=evidence,
    )
    session.add(release)
    return release


async def ls(session: AsyncSession, model: str | None = None) -> Sequence[Release]:
    """All releases, or those of one model, by model and number."""
    query = select(Release).order_by(Release.model, Release.number)
    if model is not None:
        query = query.where(Release.model == model)
    return (await session.scalars(query)).all()


async def get(session: AsyncSession, model: str, number: int) -> Release:
    """One release.

    Raises:
        LamplighterError: NOT_FOUND.
    """
    release = await _find(session, model, number)
    if release is None:
        raise LamplighterError("NOT_FOUND", f"There is no {model} release {number}.")
    return release


async def point(
    session: AsyncSession, model: str, name: str, number: int, now_utc: datetime
) -> Alias:
    """Let a name stand for a release, whatever it stood for before.

    Raises:
        LamplighterError: NOT_FOUND without that release; NAME_INVALID, also for a name of digits.
    """
    if check_name(name, "alias").isdecimal():
        raise LamplighterError("NAME_INVALID", f"{name!r} would be read as a release's number.")
    await get(session, model, number)
    alias = await session.get(Alias, (model, name))
    if alias is None:
        alias = Alias(model=model, name=name)
        session.add(alias)
    alias.release, alias.set_utc = number, now_utc
    return alias


async def aliases(session: AsyncSession, model: str | None = None) -> Sequence[Alias]:
    """All names, or those of one model, in their order."""
    query = select(Alias).order_by(Alias.model, Alias.name)
    if model is not None:
        query = query.where(Alias.model == model)
    return (await session.scalars(query)).all()


async def find_alias(session: AsyncSession, model: str, name: str) -> Alias:
    """One name.

    Raises:
        LamplighterError: NOT_FOUND.
    """
    alias = await session.get(Alias, (model, name))
    if alias is None:
        raise LamplighterError("NOT_FOUND", f"No release of {model} is called {name!r}.")
    return alias


async def load_manifest(
    context: Context, session: AsyncSession, model: str, number: int
) -> Manifest:
    """The manifest of a release.

    Raises:
        LamplighterError: NOT_FOUND.
    """
    release = await get(session, model, number)
    return _decode_stored(context.objects, release.manifest_sha256)


async def _find(session: AsyncSession, model: str, number: int) -> Release | None:
    query = select(Release).where(Release.model == model, Release.number == number)
    return (await session.scalars(query)).one_or_none()


@lru_cache(maxsize=64)
def _decode_stored(objects: ObjectStore, sha256: str) -> Manifest:
    """Content-addressed, so it never changes; decoding canonical JSON takes milliseconds."""
    return decode_manifest(objects.read(sha256))


def _check_complete(objects: ObjectStore, manifest: Manifest) -> None:
    for name, blob in manifest.files.items():
        if not objects.has(blob.sha256):
            raise LamplighterError("NOT_FOUND", f"File {name} of the bundle was not uploaded.")
        if objects.size_bytes(blob.sha256) != blob.size_bytes:
            raise LamplighterError("BLOB_REFUSED", f"File {name} has another length than signed.")


def _read_evidence(raw: bytes) -> dict[str, Any]:
    try:
        return msgspec.json.decode(raw, type=dict[str, Any])
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        raise LamplighterError(
            "MESSAGE_MALFORMED", f"The evidence cannot be read: {error}."
        ) from error
