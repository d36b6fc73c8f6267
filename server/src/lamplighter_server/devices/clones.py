"""Two boards with one key: a copied card, or an image that was restored while its copy runs."""

from datetime import datetime
from typing import Final

from sqlalchemy.ext.asyncio import AsyncSession

from lamplighter_protocol import dsse
from lamplighter_protocol.reported import Reported, accept_reported
from lamplighter_server.alerts import service as alerts
from lamplighter_server.context import Context
from lamplighter_server.devices import service
from lamplighter_server.devices.models import Device

KIND: Final = "device-clone"


def is_of_another(stored: Reported, offered: Reported) -> bool:
    """Whether a signed report cannot come from the board that signed the stored one.

    One board's counter grows with each report over its whole life, also when its journal is lost.
    So what was signed later bears a higher number; an old report that is delivered again bears a
    lower one, and was signed earlier.
    """
    return offered.counter <= stored.counter and offered.at_utc > stored.at_utc


async def notice(context: Context, session: AsyncSession, device: Device, raw: bytes) -> bool:
    """Open an alert if a report that is no news shows a clone.

    Args:
        context: The server.
        session: The caller's transaction.
        device: Whose key has signed it.
        raw: An envelope that was refused as REPORT_STALE.

    Returns:
        Whether it does.
    """
    offered = accept_reported(
        raw,
        device=device.id,
        fleet=context.settings.fleet,
        key=dsse.load_public(device.public_key_pem),
        last_counter=-1,
    )
    stored = service.read_report(device)
    if stored is None or not is_of_another(stored, offered):
        return False
    await alerts.open_alert(
        session,
        kind=KIND,
        key=_key(device.id),
        sentence=(
            f"Two boards sign as {device.id}: report {stored.counter} of boot {stored.boot} at "
            f"{stored.at_utc:%Y-%m-%d %H:%M:%S}Z, and later report {offered.counter} of boot "
            f"{offered.boot} at {offered.at_utc:%Y-%m-%d %H:%M:%S}Z. A card was copied or restored."
        ),
        command=f"lamplighter device revoke {device.id}",
        details={"device": device.id, "boots": sorted({stored.boot, offered.boot})},
        now=context.clock(),
    )
    return True


async def settle(session: AsyncSession, name: str, now_utc: datetime) -> None:
    """Close the alert: the key that was copied is worth nothing any more."""
    await alerts.resolve(session, _key(name), now_utc)


def _key(name: str) -> str:
    return f"{KIND}/{name}"
