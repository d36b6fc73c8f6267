"""The log for the other slices: take a note of a refusal, read lines, sign where the chain stands.

Changes need no call: audit.capture sees them.
"""

import logging
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any, Final

from sqlalchemy.ext.asyncio import AsyncSession

from lamplighter_server.actor import Actor
from lamplighter_server.audit import repository
from lamplighter_server.audit.capture import append
from lamplighter_server.audit.chain import Entry, Head, Line, sign_head
from lamplighter_server.audit.models import AuditHead, AuditLine
from lamplighter_server.context import Context

#: How long a change may stay without a signed head.
HEAD_INTERVAL: Final = timedelta(minutes=15)
#: Nobody has proved who it is.
NOBODY: Final = Actor("user", "?")
_log = logging.getLogger(__name__)


def note(
    context: Context, actor: Actor, action: str, subject: str, details: dict[str, Any]
) -> None:
    """Tell the log of something that changed nothing, such as a refusal.

    It is written within a tick, in a transaction of its own: the refused one rolls back, and this
    may be called within it, or where there is none. A flood is cut to a line a second, and counted.

    Args:
        context: The server.
        actor: Who tried; NOBODY if that is what was refused.
        action: What was refused, such as `sign-in` or `refused`.
        subject: What it was about, such as `user/ada` or `POST /api/v1/rollouts`.
        details: Particulars, JSON; no secret, not even a wrong one.
    """
    context.notes.add(str(actor), action, subject, details)


async def record(
    session: AsyncSession, actor: Actor, action: str, subject: str, details: dict[str, Any]
) -> None:
    """Write a line about something that happened elsewhere, with the transaction that is under way.

    Args:
        session: Whose transaction.
        actor: Who did it.
        action: What was done, such as `erased`.
        subject: What it was done to, such as `dataset/...`.
        details: Particulars, JSON without secrets.
    """
    await session.run_sync(append, [Entry(str(actor), action, subject, None, details)])


async def tick(context: Context) -> None:
    """Write what was noted, and sign the chain's end if that is due."""
    if noted := context.notes.take():
        try:
            async with context.database.transaction() as session:
                await session.run_sync(append, noted)
        except BaseException:
            context.notes.put_back(noted)
            raise
    async with context.database.reading() as session:
        last, head = await repository.find_last(session), await repository.find_last_head(session)
    if last is None or (head is not None and head.sequence == last.sequence):
        return
    if head is None or context.clock() - head.at_utc >= HEAD_INTERVAL:
        async with context.database.transaction() as session:
            await sign(context, session)


async def sign(context: Context, session: AsyncSession) -> bytes | None:
    """Sign where the chain ends now; None while it is empty.

    The head is stored, and told to the server's log: whoever keeps that elsewhere can hold the
    server to it.
    """
    last, known = await repository.find_last(session), await repository.find_last_head(session)
    if last is None:
        return None
    if known is not None and known.sequence == last.sequence:
        return known.envelope
    head = Head(
        fleet=context.settings.fleet,
        sequence=last.sequence,
        sha256=last.sha256,
        at_utc=context.clock(),
    )
    envelope = sign_head(head, context.keys.audit)
    session.add(AuditHead(sequence=head.sequence, at_utc=head.at_utc, envelope=envelope))
    _log.info("audit head %d: %s", head.sequence, envelope.decode())
    return envelope


async def ls(
    session: AsyncSession,
    *,
    actor: str | None = None,
    subject: str | None = None,
    since_utc: datetime | None = None,
    before: int | None = None,
    limit: int = 100,
) -> list[Line]:
    """The newest lines first.

    Args:
        session: Where to read.
        actor: Only this one: `kind:name`, or the name alone.
        subject: Only what has this part in its path: `device`, `device/cam-1` or `cam-1`.
        since_utc: Only from this time on.
        before: Only lines below this sequence: the next page.
        limit: How many at most.
    """
    rows = await repository.find_newest(
        session, actor=actor, subject=subject, since_utc=since_utc, before=before, limit=limit
    )
    return [_line(row) for row in rows]


async def chain(session: AsyncSession, *, after: int, limit: int) -> list[Line]:
    """The lines that follow a sequence, in order."""
    return [_line(row) for row in await repository.find_after(session, after, limit)]


async def heads(session: AsyncSession) -> Sequence[bytes]:
    """The envelopes of every signed head, the oldest first."""
    return [row.envelope for row in await repository.find_heads(session)]


def _line(row: AuditLine) -> Line:
    return Line(**{name: getattr(row, name) for name in Line.__struct_fields__})
