"""HTTP of the alerts slice."""

from datetime import datetime
from typing import Annotated, Any

from fastapi import APIRouter, Query
from pydantic import BaseModel

from lamplighter_server.alerts import service
from lamplighter_server.devices import service as devices
from lamplighter_server.edge import CallerDep, SessionDep
from lamplighter_server.people.access import Role, requires

router = APIRouter(prefix="/api/v1/alerts", tags=["alerts"])


class AlertView(BaseModel):
    """Something that a person must know."""

    id: int
    kind: str
    key: str
    opened_utc: datetime
    resolved_utc: datetime | None
    sentence: str
    command: str
    details: dict[str, Any]


@router.get("")
@requires(Role.VIEWER, narrows=True)
async def get_alerts(
    caller: CallerDep,
    session: SessionDep,
    resolved: bool = False,
    limit: Annotated[int, Query(ge=1, le=10_000)] = 1000,
) -> list[AlertView]:
    """The newest alerts first; those that are over only on demand."""
    rows = await service.ls(session, only_open=not resolved, limit=limit)
    if caller.scope:
        seen = {device.id for device in await devices.ls(session, caller.scope)}
        rows = service.within(rows, seen)
    return [AlertView.model_validate(row, from_attributes=True) for row in rows]
