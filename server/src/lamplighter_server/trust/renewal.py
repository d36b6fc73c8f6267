"""The tick: online roles are renewed by themselves, a person is told in time of the others."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import lru_cache
from typing import Final

from sqlalchemy.ext.asyncio import AsyncSession

from lamplighter_protocol.errors import LamplighterError
from lamplighter_server.alerts import service as alerts
from lamplighter_server.context import Context
from lamplighter_server.trust import service
from lamplighter_server.trust.roles import ROOT, Roles, read_root, speakers

KIND: Final = "trust-renewal"
NOTICE: Final = timedelta(days=30)
_ONLINE: Final = "online"


@dataclass(frozen=True)
class Concern:
    """Something that ends the fleet's trust unless a person acts."""

    about: str
    sentence: str
    command: str


async def tick(context: Context) -> None:
    """Renew what can be renewed here; open and resolve the alerts of what cannot."""
    failed: Exception | None = None
    try:
        await service.renew(context)
    except (LamplighterError, OSError, ValueError, TypeError) as error:
        failed = error  # a key that is missing, unreadable or not the one that was signed over
    async with context.database.reading() as session:
        roles = await service.load_roles(session)
        told = {alert.key for alert in await alerts.ls(session) if alert.kind == KIND}
    now_utc = context.clock()
    concerns = {f"{KIND}/{item.about}": item for item in find_concerns(roles, failed, now_utc)}
    if concerns.keys() != told:
        async with context.database.transaction() as session:
            await _tell(session, concerns, told, now_utc)


def find_concerns(roles: Roles, failed: Exception | None, now_utc: datetime) -> Iterator[Concern]:
    """What a person must know: a renewal that failed, offline roles within 30 days of expiry."""
    if failed is not None:
        yield Concern(
            _ONLINE,
            f"Snapshot and timestamp cannot be renewed, devices will refuse changes: {failed}",
            "lamplighter keys rotate snapshot timestamp",
        )
    if not roles:
        return
    for role, expires_utc in _expiring(tuple(roles.items())):
        if expires_utc - now_utc < NOTICE:
            yield Concern(
                role,
                f"The {role} metadata expires {expires_utc:%Y-%m-%d}; "
                "after it devices refuse every change.",
                f"lamplighter keys renew {role}",
            )


@lru_cache(maxsize=4)
def _expiring(roles: tuple[tuple[str, bytes], ...]) -> tuple[tuple[str, datetime], ...]:
    """When each role in force expires; remembered, because large metadata take long to read."""
    by_role = dict(roles)
    found = {role: targets.expires for role, targets in speakers(by_role)}
    return ((ROOT, read_root(by_role[ROOT]).signed.expires), *found.items())


async def _tell(
    session: AsyncSession, concerns: dict[str, Concern], told: set[str], now_utc: datetime
) -> None:
    for key, concern in concerns.items():
        await alerts.open_alert(
            session,
            kind=KIND,
            key=key,
            sentence=concern.sentence,
            command=concern.command,
            details={"about": concern.about},
            now=now_utc,
        )
    for key in told - concerns.keys():
        await alerts.resolve(session, key, now_utc)
