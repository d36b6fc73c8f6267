"""HTTP of the drift slice."""

from datetime import datetime

from fastapi import APIRouter
from pydantic import AwareDatetime, BaseModel

from lamplighter_server.drift import service
from lamplighter_server.edge import ContextDep, SessionDep
from lamplighter_server.people.access import Role, requires

router = APIRouter(prefix="/api/v1/drift", tags=["drift"])


class ColumnView(BaseModel):
    """One column against the reference; `p` is of this one test, without any correction."""

    column: str
    measure: str
    effect: float
    p: float
    direction: str
    n: int


class SiteView(BaseModel):
    """One site against the reference, the largest effect first."""

    site: str
    rows: int
    devices: list[str]
    since_utc: datetime
    columns: list[ColumnView]


@router.get("")
@requires(Role.VIEWER)
async def get_drift(
    context: ContextDep,
    session: SessionDep,
    model: str,
    release: int,
    since: AwareDatetime | None = None,
) -> list[SiteView]:
    """Compare each site with the reference, over windows that start at `since` or later."""
    return [
        SiteView.model_validate(place, from_attributes=True)
        for place in await service.report(
            context, session, model=model, release=release, since=since
        )
    ]
