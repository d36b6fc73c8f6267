"""HTTP of the claims slice: what people decide."""

from datetime import datetime, timedelta
from typing import Annotated, Self

from fastapi import APIRouter
from pydantic import BaseModel, Field

from lamplighter_server.claims import service
from lamplighter_server.claims.models import PendingDevice
from lamplighter_server.edge import CallerDep, ContextDep, SessionDep
from lamplighter_server.people.access import Role, requires

router = APIRouter(prefix="/api/v1/claims", tags=["claims"])


class NewClaim(BaseModel):
    """For which boards a claim is."""

    labels: dict[str, str] = {}
    days: Annotated[int, Field(ge=1, le=3650)] = 30


class ClaimView(BaseModel):
    """What to carry to the boards."""

    invitation: str
    expires_utc: datetime


class Withdrawn(BaseModel):
    """What withdrawing has done."""

    claims: int


class PendingView(BaseModel):
    """A board that waits to be let in."""

    device: str
    fingerprint: str
    labels: dict[str, str]
    board: str
    address: str
    asked_utc: datetime

    @classmethod
    def of(cls, row: PendingDevice) -> Self:
        """As a person sees it."""
        return cls.model_validate(row, from_attributes=True)


class Approval(BaseModel):
    """With what a board is let in."""

    labels: dict[str, str] = {}
    replace: bool = False
    """Whether the name may be in use: then the board that has it now is to be replaced."""


@router.post("", status_code=201)
@requires(Role.OPERATOR, narrows=True)
async def post_claim(
    body: NewClaim, caller: CallerDep, context: ContextDep, session: SessionDep
) -> ClaimView:
    """Make a claim: any number of boards may ask with it, and none gets in by it."""
    caller.check_touches(body.labels)
    lifetime = timedelta(days=body.days)
    text, expires_utc = await service.make(context, session, body.labels, lifetime)
    return ClaimView(invitation=text, expires_utc=expires_utc)


@router.post("/withdraw")
@requires(Role.OPERATOR, narrows=True)
async def post_withdraw(caller: CallerDep, context: ContextDep, session: SessionDep) -> Withdrawn:
    """End every open claim; who asked with one and still waits is forgotten."""
    return Withdrawn(claims=await service.withdraw(context, session, caller.scope))


@router.get("/pending")
@requires(Role.VIEWER, narrows=True)
async def get_pending(
    caller: CallerDep, context: ContextDep, session: SessionDep
) -> list[PendingView]:
    """Who waits to be let in."""
    rows = await service.pending(session, context.clock(), caller.scope)
    return [PendingView.of(row) for row in rows]


@router.post("/pending/{fingerprint}/approve")
@requires(Role.OPERATOR, narrows=True)
async def post_approve(
    fingerprint: str, body: Approval, caller: CallerDep, context: ContextDep, session: SessionDep
) -> PendingView:
    """Let a board in whose fingerprint was compared."""
    now_utc = context.clock()
    row = await service.get(session, fingerprint, now_utc, caller.scope)
    await service.approve(session, row, body.labels, now_utc, replace=body.replace)
    caller.check_touches(row.labels)
    return PendingView.of(row)


@router.post("/pending/{fingerprint}/reject")
@requires(Role.OPERATOR, narrows=True)
async def post_reject(
    fingerprint: str, caller: CallerDep, context: ContextDep, session: SessionDep
) -> PendingView:
    """Refuse a board."""
    now_utc = context.clock()
    row = await service.get(session, fingerprint, now_utc, caller.scope)
    service.reject(row, now_utc)
    return PendingView.of(row)
