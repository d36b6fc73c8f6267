"""From an identity at the provider to the one user who is that person."""

import re
from collections.abc import Mapping

from sqlalchemy.ext.asyncio import AsyncSession

from lamplighter_protocol.errors import LamplighterError
from lamplighter_protocol.names import NAME_PATTERN
from lamplighter_server.context import Context
from lamplighter_server.people import repository, service
from lamplighter_server.people.access import Role
from lamplighter_server.people.identity import Identity
from lamplighter_server.people.models import User


def role_of(groups: frozenset[str], roles: Mapping[str, Role]) -> Role | None:
    """The highest role of somebody's groups; None if none of them is known."""
    return max(
        (roles[group] for group in groups & roles.keys()), key=list(Role).index, default=None
    )


def name_of(identity: Identity) -> str | None:
    """The user name for somebody new, such as `anna-berg` for Anna.Berg; None if none fits."""
    name = re.sub(r"[^a-z0-9]+", "-", identity.name.lower()).strip("-")
    return name if re.fullmatch(NAME_PATTERN, name) else None


async def admit(context: Context, session: AsyncSession, identity: Identity) -> User:
    """The user who is this person, with the role that the provider's groups give now.

    Somebody new gets an account. A name that is taken is never taken over: an admin says whether
    both are one person.

    Raises:
        LamplighterError: SIGN_ON_REFUSED.
    """
    role = role_of(identity.groups, context.settings.oidc_roles)
    if role is None:
        raise LamplighterError("SIGN_ON_REFUSED", f"No group of {identity.name} has a role here.")
    user = await repository.find_identity(session, identity.issuer, identity.subject)
    if user is None:
        user = await _welcome(context, session, identity, role)
    if not service.may_enter(user, context.settings):
        raise LamplighterError("SIGN_ON_REFUSED", f"{user.name} is disabled.")
    user.role = role
    return user


async def _welcome(context: Context, session: AsyncSession, identity: Identity, role: Role) -> User:
    name = name_of(identity)
    if name is None or await session.get(User, name) is not None:
        command = f"lamplighter user identity NAME {identity.subject}"
        raise LamplighterError(
            "SIGN_ON_REFUSED",
            f"The name {identity.name!r} cannot be given; an admin can say who this is: {command}.",
        )
    user = await service.add(
        session, name, role=role, labels={}, password_hash=None, now_utc=context.clock()
    )
    user.issuer, user.subject = identity.issuer, identity.subject
    return user
