"""Writes a line when a device begins to answer with another release."""

from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Final

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from lamplighter_protocol.reported import Reported
from lamplighter_server.history.models import Ran

MAX_LINES: Final = 10_000


async def note(session: AsyncSession, report: Reported, now_utc: datetime) -> None:
    """Begin and end times by a newly accepted report."""
    query = select(Ran).where(Ran.device == report.device, Ran.until_utc.is_(None))
    begun = {item.model: item.active for item in report.models if item.active is not None}
    for row in await session.scalars(query):
        runs = begun.get(row.model)
        if runs is not None and (runs.release, runs.variant) == (row.release, row.variant):
            row.committed |= runs.committed
            del begun[row.model]
        else:
            row.until_utc = now_utc
    session.add_all(
        Ran(
            device=report.device,
            model=model,
            release=runs.release,
            variant=runs.variant,
            committed=runs.committed,
            from_utc=now_utc,
        )
        for model, runs in begun.items()
    )


async def ls(session: AsyncSession, model: str, devices: Collection[str]) -> Sequence[Ran]:
    """The times of one model on some devices, the newest first, at most MAX_LINES."""
    query = select(Ran).where(Ran.model == model).order_by(Ran.id.desc()).limit(MAX_LINES)
    return [row for row in await session.scalars(query) if row.device in devices]
