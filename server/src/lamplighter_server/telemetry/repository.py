"""Queries of the telemetry slice."""

from collections.abc import Collection, Sequence
from datetime import datetime

from sqlalchemy import delete, select
from sqlalchemy.ext.asyncio import AsyncSession

from lamplighter_server.telemetry.models import (
    EventRow,
    StreamCursor,
    StreamSeen,
    VitalsRow,
    WindowRow,
)
from lamplighter_server.telemetry.selection import Selection
from lamplighter_server.telemetry.sequences import NOTHING, Progress


async def load_progress(
    session: AsyncSession, device: str, stream: str, key_sha256: str
) -> tuple[StreamCursor, Progress]:
    """The stream's cursor, locked until the transaction ends, and what lies above it."""
    cursor = await session.get(StreamCursor, (device, stream), with_for_update=True)
    above = StreamSeen.device == device, StreamSeen.stream == stream
    if cursor is None:
        cursor = StreamCursor(device=device, stream=stream, contiguous=NOTHING)
        session.add(cursor)
    elif cursor.key_sha256 != key_sha256:
        cursor.contiguous = NOTHING
        await session.execute(delete(StreamSeen).where(*above))
    cursor.key_sha256 = key_sha256
    seen = await session.scalars(select(StreamSeen.sequence).where(*above))
    return cursor, Progress(cursor.contiguous, frozenset(seen))


async def save_progress(
    session: AsyncSession, cursor: StreamCursor, before: Progress, after: Progress
) -> None:
    """Store where the stream stands now."""
    cursor.contiguous = after.contiguous
    if before.seen - after.seen:
        await session.execute(
            delete(StreamSeen).where(
                StreamSeen.device == cursor.device,
                StreamSeen.stream == cursor.stream,
                StreamSeen.sequence <= after.contiguous,
            )
        )
    session.add_all(
        StreamSeen(device=cursor.device, stream=cursor.stream, sequence=sequence)
        for sequence in after.seen - before.seen
    )


async def find_devices(session: AsyncSession, model: str, release: int) -> Sequence[str]:
    """The devices with windows of a release."""
    query = select(WindowRow.device).where(WindowRow.model == model, WindowRow.release == release)
    return (await session.scalars(query.distinct())).all()


async def find_windows(session: AsyncSession, wanted: Selection) -> Sequence[WindowRow]:
    """The windows of active models, in order of their start."""
    query = select(WindowRow).where(WindowRow.mode == "active")
    bounds = (
        (WindowRow.start_utc, wanted.since, wanted.until),
        (WindowRow.received_utc, wanted.received_since, wanted.received_until),
    )
    for column, lower, upper in bounds:
        query = query.where(column >= lower) if lower is not None else query
        query = query.where(column < upper) if upper is not None else query
    if wanted.model is not None:
        query = query.where(WindowRow.model == wanted.model)
    if wanted.release is not None:
        query = query.where(WindowRow.release == wanted.release)
    if wanted.devices is not None:
        query = query.where(WindowRow.device.in_(wanted.devices))
    order = (WindowRow.start_utc, WindowRow.device, WindowRow.sequence)
    return (await session.scalars(query.order_by(*order))).all()


async def find_events(
    session: AsyncSession, *, devices: Collection[str] | None, since: datetime | None, limit: int
) -> Sequence[EventRow]:
    """The newest events first."""
    query = select(EventRow).order_by(EventRow.at_utc.desc(), EventRow.sequence.desc())
    if devices is not None:
        query = query.where(EventRow.device.in_(devices))
    if since is not None:
        query = query.where(EventRow.at_utc >= since)
    return (await session.scalars(query.limit(limit))).all()


async def find_vitals(session: AsyncSession) -> Sequence[VitalsRow]:
    """The newest vitals of every device."""
    return (await session.scalars(select(VitalsRow).order_by(VitalsRow.device))).all()
