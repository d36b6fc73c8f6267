"""Passwords as argon2id; hashing costs time and memory on purpose, so it runs in threads."""

import asyncio
from functools import cache
from typing import Final

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError
from argon2.profiles import RFC_9106_LOW_MEMORY

from lamplighter_protocol.errors import LamplighterError

MIN_LENGTH: Final = 12
MAX_LENGTH: Final = 256
"""In characters."""
MAX_AT_ONCE: Final = 2
"""Each hash takes 64 MiB; a flood of sign-ins must not take the server's memory."""

_HASHER: Final = PasswordHasher.from_parameters(RFC_9106_LOW_MEMORY)


class Passwords:
    """Makes and checks hashes, a few at a time."""

    def __init__(self, hasher: PasswordHasher = _HASHER) -> None:
        self._hasher = hasher
        self._slots = asyncio.Semaphore(MAX_AT_ONCE)

    async def hash(self, password: str) -> str:
        """The encoded hash of a new password.

        Raises:
            LamplighterError: PASSWORD_WEAK.
        """
        if not MIN_LENGTH <= len(password) <= MAX_LENGTH:
            raise LamplighterError(
                "PASSWORD_WEAK",
                f"A password has {MIN_LENGTH} to {MAX_LENGTH} characters, this {len(password)}.",
            )
        return await self._run(password)

    async def matches(self, encoded: str | None, password: str) -> bool:
        """Whether a password is the one; without a hash, no after the same time."""
        async with self._slots:
            right = await asyncio.to_thread(self._verify, encoded, password)
        return right and encoded is not None

    async def renewed(self, encoded: str, password: str) -> str:
        """The hash to store from now on: a new one if the parameters have changed since."""
        return await self._run(password) if self._hasher.check_needs_rehash(encoded) else encoded

    async def _run(self, password: str) -> str:
        async with self._slots:
            return await asyncio.to_thread(self._hasher.hash, password)

    def _verify(self, encoded: str | None, password: str) -> bool:
        try:
            return self._hasher.verify(
                encoded or _hash_of_nobody(self._hasher), password[: MAX_LENGTH + 1]
            )
        except (VerificationError, InvalidHashError):
            return False


@cache
def _hash_of_nobody(hasher: PasswordHasher) -> str:
    """What is checked where there is no account, so that time does not tell."""
    return hasher.hash("a password that nobody has")
