"""Queries of the alerts slice."""

from collections.abc import Sequence

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from lamplighter_server.alerts.models import Alert


async def find_open(session: AsyncSession, key: str) -> Alert | None:
    """The open alert with this key; locked until the transaction ends."""
    query = select(Alert).where(Alert.key == key, Alert.resolved_utc.is_(None))
    return await session.scalar(query.with_for_update())


async def find_all(session: AsyncSession, *, only_open: bool, limit: int) -> Sequence[Alert]:
    """The newest alerts first."""
    query = select(Alert).order_by(Alert.opened_utc.desc(), Alert.id.desc()).limit(limit)
    if only_open:
        query = query.where(Alert.resolved_utc.is_(None))
    return (await session.scalars(query)).all()
