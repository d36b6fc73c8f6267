"""Slows guessing down: per account and per address, exponentially, across restarts."""

import hashlib
from datetime import datetime, timedelta
from typing import Final, NamedTuple

from sqlalchemy.ext.asyncio import AsyncSession

from lamplighter_protocol.errors import LamplighterError
from lamplighter_server.addresses import network_of
from lamplighter_server.people import repository
from lamplighter_server.people.models import FailedSignIn

FORGET: Final = timedelta(hours=1)
"""After so long without an attempt the count starts afresh."""
MAX_KEYS: Final = 10_000


class Limit(NamedTuple):
    """How patient we are with one sort of key."""

    free: int
    """Attempts without any wait."""
    longest_s: int


#: Short at its longest: nobody may lock somebody else out for good.
ACCOUNT: Final = Limit(free=5, longest_s=300)
#: Many people may share one address.
ADDRESS: Final = Limit(free=20, longest_s=900)


class Key(NamedTuple):
    """What attempts are counted by."""

    limit: Limit
    sha256: str


def keys_of(account: str, address: str) -> tuple[Key, Key]:
    """The two keys of an attempt; of an IPv6 address the network counts, which costs as much."""
    place = network_of(address)
    return Key(ACCOUNT, _digest(f"account {account}")), Key(ADDRESS, _digest(f"address {place}"))


def wait_s(limit: Limit, failures: int) -> int:
    """How long after the last of `failures` the next attempt may come, in seconds."""
    if failures < limit.free:
        return 0
    return int(min(limit.longest_s, 2 ** min(failures - limit.free, 30)))


async def count_attempt(session: AsyncSession, keys: tuple[Key, ...], now_utc: datetime) -> None:
    """Count an attempt as failed before it is checked, so that many at once are many.

    An attempt that comes too early is refused and not counted.

    Raises:
        LamplighterError: SIGN_IN_THROTTLED.
    """
    await repository.delete_old_failures(session, before=now_utc - FORGET, keep=MAX_KEYS)
    rows = [(key, await repository.find_failures(session, key.sha256)) for key in keys]
    for key, row in rows:
        if row is None:
            continue
        left = row.last_utc + timedelta(seconds=wait_s(key.limit, row.failures)) - now_utc
        if left > timedelta(0):
            raise LamplighterError(
                "SIGN_IN_THROTTLED",
                f"After so many attempts the next may come in {left.total_seconds():.0f} s.",
            )
    for key, row in rows:
        if row is None:
            session.add(FailedSignIn(key_sha256=key.sha256, failures=1, last_utc=now_utc))
        else:
            row.failures, row.last_utc = row.failures + 1, now_utc


async def forgive(session: AsyncSession, keys: tuple[Key, ...]) -> None:
    """Take back what `count_attempt` counted, and all earlier failures of the account.

    The failures of the address stay: an own account must not pay for guesses at others.
    """
    for key in keys:
        row = await repository.find_failures(session, key.sha256)
        if row is not None:
            row.failures = 0 if key.limit is ACCOUNT else max(0, row.failures - 1)


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
