"""Users: made, changed, disabled. Whoever has an account is one person, however they sign in."""

from collections.abc import Mapping, Sequence
from datetime import datetime

from sqlalchemy.ext.asyncio import AsyncSession

from lamplighter_protocol.errors import LamplighterError
from lamplighter_protocol.names import check_name
from lamplighter_server.people import repository
from lamplighter_server.people.access import BOOTSTRAP, Role
from lamplighter_server.people.models import User
from lamplighter_server.settings import Settings


async def ensure_admin(session: AsyncSession, now_utc: datetime) -> None:
    """Make the admin to whom the token in the data folder belongs, at the first start."""
    if await session.get(User, BOOTSTRAP.name) is None:
        session.add(_user(BOOTSTRAP.name, Role.ADMIN, {}, now_utc))


async def add(
    session: AsyncSession,
    name: str,
    *,
    role: Role,
    labels: Mapping[str, str],
    password_hash: str | None,
    now_utc: datetime,
) -> User:
    """Add a person.

    Raises:
        LamplighterError: NAME_INVALID, or CONFLICT if the name is taken.
    """
    check_name(name, "user")
    _check_labels(labels)
    if await session.get(User, name) is not None:
        raise LamplighterError("CONFLICT", f"There is a user {name!r} already.")
    user = _user(name, role, labels, now_utc)
    user.password_hash = password_hash
    session.add(user)
    await session.flush()
    return user


def _user(name: str, role: Role, labels: Mapping[str, str], now_utc: datetime) -> User:
    return User(
        name=name,
        role=role,
        labels=dict(labels),
        password_hash=None,
        issuer=None,
        subject=None,
        created_utc=now_utc,
        disabled_utc=None,
        signed_in_utc=None,
    )


async def get(session: AsyncSession, name: str) -> User:
    """One user.

    Raises:
        LamplighterError: NOT_FOUND.
    """
    user = await session.get(User, name)
    if user is None:
        raise LamplighterError("NOT_FOUND", f"There is no user {name!r}.")
    return user


async def ls(session: AsyncSession) -> Sequence[User]:
    """All users by name."""
    return await repository.find_users(session)


async def set_disabled(
    session: AsyncSession, name: str, *, disabled: bool, now_utc: datetime
) -> User:
    """Shut a person out, or let them in again; shutting out ends every session at once.

    Raises:
        LamplighterError: NOT_FOUND, or CONFLICT for the last admin.
    """
    user = await get(session, name)
    if disabled:
        await _check_another_admin(session, user)
        await repository.delete_sessions(session, name)
    user.disabled_utc = now_utc if disabled else None
    return user


async def set_role(session: AsyncSession, name: str, role: Role, labels: Mapping[str, str]) -> User:
    """Give a person another role and scope; it counts from their next request on.

    Raises:
        LamplighterError: NOT_FOUND, NAME_INVALID, or CONFLICT for the last admin.
    """
    user = await get(session, name)
    _check_labels(labels)
    if role != Role.ADMIN or labels:
        await _check_another_admin(session, user)
    user.role, user.labels = role, dict(labels)
    return user


async def set_password(session: AsyncSession, name: str, password_hash: str) -> User:
    """Replace a person's password; every session ends.

    Raises:
        LamplighterError: NOT_FOUND.
    """
    user = await get(session, name)
    user.password_hash = password_hash
    await repository.delete_sessions(session, name)
    return user


async def end_sessions(session: AsyncSession, name: str) -> None:
    """Sign a person out of every browser."""
    await repository.delete_sessions(session, name)


async def link(session: AsyncSession, name: str, issuer: str, subject: str) -> User:
    """Say who a person is at the single sign-on provider.

    Raises:
        LamplighterError: NOT_FOUND, or CONFLICT if somebody else is that.
    """
    user = await get(session, name)
    other = await repository.find_identity(session, issuer, subject)
    if other is not None and other is not user:
        raise LamplighterError("CONFLICT", f"{subject!r} is {other.name} already.")
    user.issuer, user.subject = issuer, subject
    return user


def may_enter(user: User, settings: Settings) -> bool:
    """Whether any credential of a user counts.

    With single sign-on, an account without an identity there could be a second account of
    somebody who has one; only the data folder's own admin stays, for the day the provider fails.
    """
    if user.disabled_utc is not None:
        return False
    known = not settings.oidc_issuer or user.issuer == settings.oidc_issuer
    return known or user.name == BOOTSTRAP.name


async def _check_another_admin(session: AsyncSession, user: User) -> None:
    admins = [admin for admin in await repository.find_admins(session) if not admin.labels]
    if admins == [user]:
        raise LamplighterError("CONFLICT", f"{user.name} is the last admin of this fleet.")


def _check_labels(labels: Mapping[str, str]) -> None:
    for label in labels.items():
        for part in label:
            check_name(part, "label")
