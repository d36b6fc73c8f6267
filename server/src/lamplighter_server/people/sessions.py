"""Browsers that are signed in: a random secret there, its digest and its times here."""

import hashlib
import secrets
from datetime import datetime, timedelta
from typing import Final

from sqlalchemy.ext.asyncio import AsyncSession

from lamplighter_protocol.errors import LamplighterError
from lamplighter_server.people import repository, service
from lamplighter_server.people.models import SignInLink, User, UserSession
from lamplighter_server.settings import Settings

IDLE: Final = timedelta(hours=12)
ABSOLUTE: Final = timedelta(days=7)
LINK_LIFETIME: Final = timedelta(hours=1)
_SECRET_BYTES: Final = 32


async def start(session: AsyncSession, user: User, former: str | None, now_utc: datetime) -> str:
    """Sign a browser in, always under a new secret; the session it had before ends.

    Returns:
        The secret for the browser's cookie.
    """
    if former is not None:
        await end(session, former)
    await repository.delete_old_sessions(
        session, created_before=now_utc - ABSOLUTE, seen_before=now_utc - IDLE
    )
    secret = secrets.token_urlsafe(_SECRET_BYTES)
    session.add(
        UserSession(
            id_sha256=_digest(secret), user=user.name, created_utc=now_utc, seen_utc=now_utc
        )
    )
    user.signed_in_utc = now_utc
    return secret


async def find(session: AsyncSession, secret: str, now_utc: datetime) -> UserSession | None:
    """The session behind a cookie, unless it has run out."""
    row = await session.get(UserSession, _digest(secret))
    if row is None or now_utc - row.created_utc >= ABSOLUTE or now_utc - row.seen_utc >= IDLE:
        return None
    return row


async def end(session: AsyncSession, secret: str) -> None:
    """Sign a browser out."""
    row = await session.get(UserSession, _digest(secret))
    if row is not None:
        await session.delete(row)


def cookie_name(settings: Settings) -> str:
    """The session's cookie; servers on other ports of a host do not overwrite it."""
    prefix = "__Host-" if settings.over_tls else ""
    return f"{prefix}lamplighter-{settings.http_port}"


def csrf_of(secret: str) -> str:
    """What forms of this session carry; it does not tell the secret."""
    return hashlib.sha256(b"csrf " + secret.encode()).hexdigest()


async def make_link(session: AsyncSession, user: str, now_utc: datetime) -> str:
    """The key of a link that signs a browser in as `user`, once."""
    await repository.delete_old_links(session, now_utc)
    key = secrets.token_urlsafe(_SECRET_BYTES)
    session.add(SignInLink(key_sha256=_digest(key), user=user, expires_utc=now_utc + LINK_LIFETIME))
    return key


def link_url(settings: Settings, key: str) -> str:
    """The address that a person opens."""
    return f"{settings.console_address}/sign-in/link?key={key}"


async def follow_link(
    session: AsyncSession, settings: Settings, key: str, now_utc: datetime
) -> User:
    """Use a link up.

    Raises:
        LamplighterError: LINK_INVALID.
    """
    found = await repository.take_link(session, _digest(key))
    if found is not None and found[1] > now_utc:
        user = await service.get(session, found[0])
        if service.may_enter(user, settings):
            return user
    raise LamplighterError("LINK_INVALID", "This link was used before, or it is too old.")


def _digest(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()
