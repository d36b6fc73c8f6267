"""HTTP of the audit slice."""

from datetime import datetime
from typing import Annotated, Any

import msgspec
from fastapi import APIRouter, Query
from pydantic import AwareDatetime, BaseModel

from lamplighter_server.audit import service
from lamplighter_server.audit.chain import Line
from lamplighter_server.edge import ContextDep, SessionDep
from lamplighter_server.people.access import Role, requires

router = APIRouter(prefix="/api/v1/audit", tags=["audit"])

Limit = Annotated[int, Query(ge=1, le=5000)]


class LineView(BaseModel):
    """One line of the log, with all that its digest covers."""

    sequence: int
    at_utc: datetime
    actor: str
    action: str
    subject: str
    before: dict[str, Any] | None
    after: dict[str, Any] | None
    previous_sha256: str
    sha256: str


class HeadsView(BaseModel):
    """Every head that was signed, and the key that verifies them."""

    fleet: str
    public_pem: str
    heads: list[dict[str, Any]]


@router.get("")
@requires(Role.VIEWER)
async def get_lines(
    session: SessionDep,
    actor: str | None = None,
    subject: str | None = None,
    since: AwareDatetime | None = None,
    before: Annotated[int | None, Query(ge=1)] = None,
    limit: Limit = 100,
) -> list[LineView]:
    """The newest lines first; `before` is the lowest sequence of the page before."""
    lines = await service.ls(
        session, actor=actor, subject=subject, since_utc=since, before=before, limit=limit
    )
    return list(map(_view, lines))


@router.get("/chain")
@requires(Role.VIEWER)
async def get_chain(
    session: SessionDep, after: Annotated[int, Query(ge=0)] = 0, limit: Limit = 1000
) -> list[LineView]:
    """The lines above `after` in the order of the chain, for whoever wants to verify it."""
    return list(map(_view, await service.chain(session, after=after, limit=limit)))


@router.post("/heads")
@requires(Role.VIEWER)
async def post_head(context: ContextDep, session: SessionDep) -> HeadsView:
    """Sign where the chain ends now; answers every head that was ever signed."""
    await service.sign(context, session)
    await session.flush()
    return HeadsView(
        fleet=context.settings.fleet,
        public_pem=context.keys.audit_public_pem,
        heads=[msgspec.json.decode(raw) for raw in await service.heads(session)],
    )


def _view(line: Line) -> LineView:
    return LineView.model_validate(line, from_attributes=True)
