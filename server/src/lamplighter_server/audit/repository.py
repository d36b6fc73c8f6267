"""Queries of the audit slice."""

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import literal, select
from sqlalchemy.ext.asyncio import AsyncSession

from lamplighter_server.audit.models import AuditHead, AuditLine


async def find_newest(
    session: AsyncSession,
    *,
    actor: str | None,
    subject: str | None,
    since_utc: datetime | None,
    before: int | None,
    limit: int,
) -> Sequence[AuditLine]:
    """The newest lines first."""
    query = select(AuditLine).order_by(AuditLine.sequence.desc()).limit(limit)
    if actor is not None:
        query = query.where((AuditLine.actor == actor) | AuditLine.actor.endswith(f":{actor}"))
    if subject is not None:  # whole parts of the path: `cam-1` is not `cam-10`
        path = literal("/").concat(AuditLine.subject).concat("/")
        query = query.where(path.contains(f"/{subject}/", autoescape=True))
    if since_utc is not None:
        query = query.where(AuditLine.at_utc >= since_utc)
    if before is not None:
        query = query.where(AuditLine.sequence < before)
    return (await session.scalars(query)).all()


async def find_after(session: AsyncSession, sequence: int, limit: int) -> Sequence[AuditLine]:
    """Lines in the order of the chain."""
    query = select(AuditLine).where(AuditLine.sequence > sequence).order_by(AuditLine.sequence)
    return (await session.scalars(query.limit(limit))).all()


async def find_last(session: AsyncSession) -> AuditLine | None:
    """The newest line."""
    return await session.scalar(select(AuditLine).order_by(AuditLine.sequence.desc()).limit(1))


async def find_heads(session: AsyncSession) -> Sequence[AuditHead]:
    """Every signed head, the oldest first."""
    return (await session.scalars(select(AuditHead).order_by(AuditHead.sequence))).all()


async def find_last_head(session: AsyncSession) -> AuditHead | None:
    """The newest signed head."""
    return await session.scalar(select(AuditHead).order_by(AuditHead.sequence.desc()).limit(1))
