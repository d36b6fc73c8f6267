"""Queries of the people slice."""

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import delete, func, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from lamplighter_server.people.access import Role
from lamplighter_server.people.models import (
    ApiToken,
    FailedSignIn,
    SignInLink,
    User,
    UserSession,
)


async def find_users(session: AsyncSession) -> Sequence[User]:
    """All users by name."""
    return (await session.scalars(select(User).order_by(User.name))).all()


async def find_identity(session: AsyncSession, issuer: str, subject: str) -> User | None:
    """The user whom a single sign-on provider calls `subject`."""
    query = select(User).where(User.issuer == issuer, User.subject == subject)
    return await session.scalar(query)


async def find_admins(session: AsyncSession) -> Sequence[User]:
    """The enabled admins, locked until the transaction ends."""
    query = select(User).where(User.role == Role.ADMIN, User.disabled_utc.is_(None))
    return (await session.scalars(query.with_for_update())).all()


async def find_tokens(session: AsyncSession, user: str | None) -> Sequence[ApiToken]:
    """The tokens of one user, or of all; the newest first."""
    query = select(ApiToken).order_by(ApiToken.created_utc.desc(), ApiToken.id)
    if user is not None:
        query = query.where(ApiToken.user == user)
    return (await session.scalars(query)).all()


async def delete_sessions(session: AsyncSession, user: str) -> None:
    """End every session of a user."""
    await session.execute(delete(UserSession).where(UserSession.user == user))


async def delete_old_sessions(
    session: AsyncSession, *, created_before: datetime, seen_before: datetime
) -> None:
    """Forget sessions that have run out."""
    await session.execute(
        delete(UserSession).where(
            (UserSession.created_utc <= created_before) | (UserSession.seen_utc <= seen_before)
        )
    )


async def take_link(session: AsyncSession, key_sha256: str) -> tuple[str, datetime] | None:
    """(user, expiry) of a sign-in link, which is used up; of two requests at once, one wins."""
    query = delete(SignInLink).where(SignInLink.key_sha256 == key_sha256)
    found = await session.execute(query.returning(SignInLink.user, SignInLink.expires_utc))
    row = found.first()
    return (row.user, row.expires_utc) if row is not None else None


async def delete_old_links(session: AsyncSession, now_utc: datetime) -> None:
    """Forget links that nobody used in time."""
    await session.execute(delete(SignInLink).where(SignInLink.expires_utc <= now_utc))


async def find_failures(session: AsyncSession, key_sha256: str) -> FailedSignIn | None:
    """What is remembered of an account or an address; locked until the transaction ends."""
    return await session.get(FailedSignIn, key_sha256, with_for_update=True)


async def delete_old_failures(session: AsyncSession, *, before: datetime, keep: int) -> None:
    """Forget failures from before a time, and the oldest of more than `keep`."""
    await session.execute(delete(FailedSignIn).where(FailedSignIn.last_utc <= before))
    rows = await session.scalar(select(func.count()).select_from(FailedSignIn)) or 0
    if rows > keep:
        oldest = select(FailedSignIn.key_sha256).order_by(FailedSignIn.last_utc).limit(rows - keep)
        await session.execute(delete(FailedSignIn).where(FailedSignIn.key_sha256.in_(oldest)))


async def note_token_use(session: AsyncSession, token: str, now_utc: datetime) -> None:
    """Remember when a token was used last."""
    await session.execute(update(ApiToken).where(ApiToken.id == token).values(used_utc=now_utc))


async def note_session_use(session: AsyncSession, id_sha256: str, now_utc: datetime) -> None:
    """Remember when a session was used last."""
    query = update(UserSession).where(UserSession.id_sha256 == id_sha256)
    await session.execute(query.values(seen_utc=now_utc))
