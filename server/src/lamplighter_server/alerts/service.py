"""What other slices call to tell a person something, once."""

from collections.abc import Iterable, Sequence
from collections.abc import Set as AbstractSet
from datetime import datetime
from typing import Any

from sqlalchemy.ext.asyncio import AsyncSession

from lamplighter_server.alerts import repository
from lamplighter_server.alerts.models import Alert


async def open_alert(
    session: AsyncSession,
    *,
    kind: str,
    key: str,
    sentence: str,
    command: str,
    details: dict[str, Any],
    now: datetime,
) -> Alert:
    """Open an alert unless one with this key is open; that one is kept as it was opened.

    Args:
        session: The caller's transaction.
        kind: What sort of alert, such as `drift` or `rollout-aborted`.
        key: What makes it the same alert again.
        sentence: What happened and where, for a person who must act.
        command: The one safe command to run next.
        details: Particulars, JSON.
        now: The time of opening.
    """
    if known := await repository.find_open(session, key):
        return known
    alert = Alert(
        kind=kind,
        key=key,
        opened_utc=now,
        resolved_utc=None,
        sentence=sentence,
        command=command,
        details=details,
    )
    session.add(alert)
    await session.flush()
    return alert


async def resolve(session: AsyncSession, key: str, now: datetime) -> bool:
    """Close the open alert with this key; False if there is none."""
    alert = await repository.find_open(session, key)
    if alert is None:
        return False
    alert.resolved_utc = now
    return True


async def ls(
    session: AsyncSession, *, only_open: bool = True, limit: int = 1000
) -> Sequence[Alert]:
    """The newest alerts first."""
    return await repository.find_all(session, only_open=only_open, limit=limit)


def within(alerts: Iterable[Alert], devices: AbstractSet[str]) -> list[Alert]:
    """The alerts for somebody who sees only some devices.

    An alert that names others as well, or none, is for people of the whole fleet.
    """
    return [alert for alert in alerts if (named := _named(alert)) and named <= devices]


def _named(alert: Alert) -> set[str]:
    details = alert.details
    lone = details.get("device")
    return {
        *([lone] if lone else ()),
        *details.get("devices", ()),
        *details.get("failed", ()),
        *details.get("restored", ()),
    }
