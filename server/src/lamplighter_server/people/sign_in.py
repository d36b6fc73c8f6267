"""Signing in with a password: throttled, without telling which accounts exist."""

from lamplighter_protocol.errors import LamplighterError
from lamplighter_server.actor import Actor
from lamplighter_server.context import Context
from lamplighter_server.people import service, throttle
from lamplighter_server.people.models import User
from lamplighter_server.people.passwords import Passwords


async def check_password(
    context: Context, passwords: Passwords, *, name: str, password: str, address: str
) -> None:
    """Verify a password. Its transactions are its own: a failure is remembered, too.

    Args:
        context: The server.
        passwords: Verifies hashes.
        name: As typed.
        password: As typed.
        address: Where the attempt comes from.

    Raises:
        LamplighterError: SIGN_IN_THROTTLED, or SIGN_IN_FAILED whatever was wrong.
    """
    keys = throttle.keys_of(name, address)
    async with context.database.transaction() as session:
        await throttle.count_attempt(session, keys, context.clock())
    async with context.database.reading() as session:
        user = await session.get(User, name)
    known = user is not None and service.may_enter(user, context.settings)
    encoded = user.password_hash if user is not None and known else None
    if not await passwords.matches(encoded, password) or encoded is None:
        raise LamplighterError("SIGN_IN_FAILED", "The name or the password is wrong.")
    renewed = await passwords.renewed(encoded, password)
    async with context.database.transaction(Actor("user", name)) as session:
        await throttle.forgive(session, keys)
        user = await service.get(session, name)
        if renewed != encoded and user.password_hash == encoded:
            user.password_hash = renewed
