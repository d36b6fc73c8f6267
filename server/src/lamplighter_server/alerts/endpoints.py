"""HTTP of the alerts slice."""

from datetime import datetime
from typing import Annotated, Any

from fastapi import APIRouter, Query
from pydantic import BaseModel

from lamplighter_server.alerts import service
from lamplighter_server.edge import SessionDep

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
async def get_alerts(
    session: SessionDep,
    resolved: bool = False,
    limit: Annotated[int, Query(ge=1, le=10_000)] = 1000,
) -> list[AlertView]:
    """The newest alerts first; those that are over only on demand."""
    rows = await service.ls(session, only_open=not resolved, limit=limit)
    return [AlertView.model_validate(row, from_attributes=True) for row in rows]
