"""Queries of the drift slice."""

from datetime import datetime

from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncSession

from lamplighter_server.database import UtcDateTime
from lamplighter_server.drift.models import DriftMark


async def last_decision(session: AsyncSession) -> datetime | None:
    """When the fleet was judged last."""
    newest: datetime | None = await session.scalar(
        select(func.max(DriftMark.decided_utc, type_=UtcDateTime()))
    )
    return newest


async def find_mark(session: AsyncSession, model: str, release: int, site: str) -> DriftMark | None:
    """How far this release at this site has been judged; locked."""
    return await session.get(DriftMark, (model, release, site), with_for_update=True)
