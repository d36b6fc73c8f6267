"""HTTP of the overrides slice."""

from datetime import datetime
from typing import Annotated, Self

from fastapi import APIRouter, Path
from pydantic import BaseModel, Field

from lamplighter_protocol.names import NAME_PATTERN, SHA256_PATTERN
from lamplighter_server.context import Context
from lamplighter_server.edge import CallerDep, ContextDep, SessionDep
from lamplighter_server.overrides import service
from lamplighter_server.overrides.models import GateOverride
from lamplighter_server.people.access import Role, requires

router = APIRouter(prefix="/api/v1/overrides", tags=["overrides"])

BundlePath = Annotated[str, Path(pattern=SHA256_PATTERN)]
Reason = Annotated[str, Field(min_length=1, max_length=1000, pattern=r"\S")]
Gate = Annotated[str, Field(min_length=1, max_length=500)]


class NewOverride(BaseModel):
    """What is to be published in spite of its gates, and why."""

    model: Annotated[str, Field(pattern=NAME_PATTERN)]
    bundle_sha256: Annotated[str, Field(pattern=SHA256_PATTERN)]
    gates: Annotated[list[Gate], Field(min_length=1, max_length=1000)]
    reason: Reason


class Approval(BaseModel):
    """What was read."""

    reason: Reason


class OverrideView(BaseModel):
    """An override, and whether it is in force."""

    bundle_sha256: str
    model: str
    gates: list[str]
    reason: str
    person: str
    asked_utc: datetime
    approved_by: str | None
    approved_utc: datetime | None
    in_force: bool

    @classmethod
    def of(cls, context: Context, row: GateOverride) -> Self:
        """As a person sees it."""
        return cls(
            bundle_sha256=row.bundle_sha256,
            model=row.model,
            gates=row.gates,
            reason=row.reason,
            person=row.person,
            asked_utc=row.asked_utc,
            approved_by=row.approved_by,
            approved_utc=row.approved_utc,
            in_force=service.decision(context, row).in_force,
        )


@router.post("", status_code=201)
@requires(Role.OPERATOR)
async def post_override(
    body: NewOverride, caller: CallerDep, context: ContextDep, session: SessionDep
) -> OverrideView:
    """Take the responsibility for a bundle whose gates have not passed."""
    row = await service.ask(
        context,
        session,
        caller,
        model=body.model,
        bundle_sha256=body.bundle_sha256,
        gates=body.gates,
        reason=body.reason,
    )
    return OverrideView.of(context, row)


@router.get("")
@requires(Role.VIEWER, narrows=True)
async def get_overrides(context: ContextDep, session: SessionDep) -> list[OverrideView]:
    """Every override, the newest first."""
    return [OverrideView.of(context, row) for row in await service.ls(session)]


@router.get("/{bundle_sha256}")
@requires(Role.VIEWER, narrows=True)
async def get_override(
    bundle_sha256: BundlePath, context: ContextDep, session: SessionDep
) -> OverrideView:
    """One override."""
    return OverrideView.of(context, await service.get(session, bundle_sha256))


@router.post("/{bundle_sha256}/approve")
@requires(Role.APPROVER)
async def post_approve(
    bundle_sha256: BundlePath,
    body: Approval,
    caller: CallerDep,
    context: ContextDep,
    session: SessionDep,
) -> OverrideView:
    """Agree to it as somebody else than who asked."""
    row = await service.approve(context, session, caller, bundle_sha256, body.reason)
    return OverrideView.of(context, row)
