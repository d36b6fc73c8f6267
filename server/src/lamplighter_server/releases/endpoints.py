"""HTTP of the releases slice."""

from datetime import datetime
from itertools import groupby
from typing import Annotated, Any

import msgspec
from fastapi import APIRouter, Path
from pydantic import BaseModel, Field

from lamplighter_protocol.errors import LamplighterError
from lamplighter_protocol.names import NAME_PATTERN, SHA256_PATTERN
from lamplighter_server.confidential import service as confidential
from lamplighter_server.edge import ContextDep, SessionDep
from lamplighter_server.people.access import Role, requires
from lamplighter_server.releases import service
from lamplighter_server.releases.models import Alias, Release

router = APIRouter(prefix="/api/v1", tags=["models"])

Number = Annotated[int, Path(ge=1, le=2**31 - 1)]
Digest = Annotated[str, Field(pattern=SHA256_PATTERN)]


class NewRelease(BaseModel):
    """A release whose files have been uploaded."""

    model: Annotated[str, Field(pattern=NAME_PATTERN)]
    release: Annotated[int, Field(ge=1, le=2**31 - 1)]
    manifest_sha256: Digest
    evidence_sha256: Digest
    role: str = "targets"
    """The role that names the release: `targets`, or the model's delegated role."""
    targets: str
    """The new metadata of that role, as text."""


class ReleaseLine(BaseModel):
    """One release in a listing."""

    model: str
    release: int
    published_utc: datetime
    manifest_sha256: str
    evidence_sha256: str
    evidence: dict[str, Any]


class ModelLine(BaseModel):
    """One model in a listing."""

    model: str
    releases: int
    newest: int
    published_utc: datetime


class AliasTarget(BaseModel):
    """What a name shall stand for."""

    release: Annotated[int, Field(ge=1, le=2**31 - 1)]


class AliasLine(BaseModel):
    """A name for a release."""

    model: str
    alias: str
    release: int
    set_utc: datetime


class ModelView(BaseModel):
    """One model with its releases."""

    model: str
    confidential: bool
    """Whether its releases travel sealed."""
    aliases: list[AliasLine]
    releases: list[ReleaseLine]


class ReleaseView(ReleaseLine):
    """One release with what was signed."""

    manifest: dict[str, Any]


@router.post("/releases", status_code=201)
@requires(Role.OPERATOR)
async def post_release(body: NewRelease, context: ContextDep, session: SessionDep) -> ReleaseLine:
    """Publish a release."""
    release = await service.publish(
        context,
        session,
        model=body.model,
        number=body.release,
        manifest_sha256=body.manifest_sha256,
        evidence_sha256=body.evidence_sha256,
        role=body.role,
        targets=body.targets.encode(),
    )
    await confidential.offer(context, session, release.model, release.number)
    return ReleaseLine(**_line(release))


@router.get("/models")
@requires(Role.VIEWER, narrows=True)
async def get_models(session: SessionDep) -> list[ModelLine]:
    """Every model with its newest release."""
    by_model = groupby(await service.ls(session), key=lambda release: release.model)
    lines = []
    for model, group in by_model:
        releases = list(group)
        newest = releases[-1]
        lines.append(
            ModelLine(
                model=model,
                releases=len(releases),
                newest=newest.number,
                published_utc=newest.published_utc,
            )
        )
    return lines


@router.get("/models/{model}")
@requires(Role.VIEWER, narrows=True)
async def get_model(model: str, session: SessionDep) -> ModelView:
    """One model and all its releases."""
    releases = await service.ls(session, model)
    if not releases:
        raise LamplighterError("NOT_FOUND", f"There is no model {model!r}.")
    return ModelView(
        model=model,
        confidential=await confidential.is_protected(session, model),
        aliases=[_alias_line(item) for item in await service.aliases(session, model)],
        releases=[ReleaseLine(**_line(item)) for item in releases],
    )


@router.get("/aliases")
@requires(Role.VIEWER, narrows=True)
async def get_aliases(session: SessionDep) -> list[AliasLine]:
    """Every name of every model."""
    return [_alias_line(item) for item in await service.aliases(session)]


@router.get("/models/{model}/aliases/{alias}")
@requires(Role.VIEWER, narrows=True)
async def get_alias(model: str, alias: str, session: SessionDep) -> AliasLine:
    """Which release a name stands for."""
    return _alias_line(await service.find_alias(session, model, alias))


@router.put("/models/{model}/aliases/{alias}")
@requires(Role.OPERATOR)
async def put_alias(
    model: str, alias: str, body: AliasTarget, context: ContextDep, session: SessionDep
) -> AliasLine:
    """Let a name stand for a release."""
    row = await service.point(session, model, alias, body.release, context.clock())
    return _alias_line(row)


@router.delete("/models/{model}/aliases/{alias}")
@requires(Role.OPERATOR)
async def delete_alias(model: str, alias: str, session: SessionDep) -> AliasLine:
    """Forget a name; the release stays."""
    row = await service.find_alias(session, model, alias)
    await session.delete(row)
    return _alias_line(row)


@router.get("/models/{model}/releases/{number}")
@requires(Role.VIEWER, narrows=True)
async def get_release(
    model: str, number: Number, context: ContextDep, session: SessionDep
) -> ReleaseView:
    """One release with its manifest, without the reference counts and chunk digests."""
    release = await service.get(session, model, number)
    manifest = msgspec.to_builtins(await service.load_manifest(context, session, model, number))
    del manifest["reference"]
    for file in manifest["files"].values():
        del file["chunk_sha256"]
    return ReleaseView(**_line(release), manifest=manifest)


def _alias_line(alias: Alias) -> AliasLine:
    return AliasLine(
        model=alias.model, alias=alias.name, release=alias.release, set_utc=alias.set_utc
    )


def _line(release: Release) -> dict[str, Any]:
    return {
        "model": release.model,
        "release": release.number,
        "published_utc": release.published_utc,
        "manifest_sha256": release.manifest_sha256,
        "evidence_sha256": release.evidence_sha256,
        "evidence": release.evidence,
    }
