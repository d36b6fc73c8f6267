"""HTTP of the history slice."""

from datetime import datetime

from fastapi import APIRouter
from pydantic import BaseModel

from lamplighter_server.devices import service as devices
from lamplighter_server.edge import CallerDep, SessionDep
from lamplighter_server.history import service
from lamplighter_server.people.access import Role, requires

router = APIRouter(prefix="/api/v1/history", tags=["models"])


class RanView(BaseModel):
    """A time in which a device has said that a release answers requests there."""

    device: str
    model: str
    release: int
    variant: str
    committed: bool
    from_utc: datetime
    until_utc: datetime | None


@router.get("")
@requires(Role.VIEWER, narrows=True)
async def get_history(
    caller: CallerDep, session: SessionDep, model: str, device: str | None = None
) -> list[RanView]:
    """What ran where and when, the newest first."""
    if device is None:
        seen = {row.id for row in await devices.ls(session, caller.scope)}
    else:
        seen = {(await devices.get(session, device, caller.scope)).id}
    rows = await service.ls(session, model, seen)
    return [RanView.model_validate(row, from_attributes=True) for row in rows]
