"""Shuts devices out. What the broker has to do about it, broker.gate does after the commit."""

from collections.abc import Sequence
from typing import Final

from sqlalchemy import select, update
from sqlalchemy.ext.asyncio import AsyncSession

from lamplighter_protocol.errors import LamplighterError
from lamplighter_server.assignments import service as assignments
from lamplighter_server.context import Context
from lamplighter_server.devices import certificates, clones, service
from lamplighter_server.devices.models import Device, Invitation
from lamplighter_server.outbox import service as outbox

#: What the broker retains of a device.
RETAINED: Final = ("desired", "presence", "reported")


def check_admitted(device: Device) -> None:
    """Refuse what comes from a device that was revoked.

    Raises:
        LamplighterError: DEVICE_REVOKED.
    """
    if device.revoked_utc is not None:
        raise LamplighterError(
            "DEVICE_REVOKED", f"{device.id} was revoked at {device.revoked_utc:%Y-%m-%d %H:%M} UTC."
        )


async def revoke(context: Context, session: AsyncSession, name: str, reason: str) -> Device:
    """Revoke every certificate of a device, and its open invitations; again changes nothing.

    Raises:
        LamplighterError: DEVICE_UNKNOWN.
    """
    device, now_utc = await service.get(session, name), context.clock()
    if device.revoked_utc is not None:
        return device
    device.revoked_utc, device.revoked_reason, device.cut_off_utc = now_utc, reason, None
    device.online = False
    await certificates.revoke_all(session, name, now_utc)
    await clones.settle(session, name, now_utc)
    await session.execute(
        update(Invitation)
        .where(
            Invitation.device == name,
            Invitation.used_utc.is_(None),
            Invitation.expires_utc > now_utc,
        )
        .values(expires_utc=now_utc)
    )
    return device


async def retire(context: Context, session: AsyncSession, name: str) -> Device:
    """Revoke a device for good: it is wanted to have nothing and is listed no longer.

    Raises:
        LamplighterError: DEVICE_UNKNOWN.
    """
    device = await revoke(context, session, name, "retired")
    for item in await assignments.wanted(session, [name]):
        await assignments.withdraw(session, name, item.model)
    device.retired_utc = device.retired_utc or context.clock()
    return device


async def publish(context: Context) -> bool:
    """Sign a new list of revoked certificates if the published one does not serve any more.

    Returns:
        Whether there is a new list.
    """
    now_utc = context.clock()
    async with context.database.reading() as session:
        revoked = await certificates.revoked(session, now_utc)
    return context.authority.publish_revoked(revoked, now_utc)


async def to_cut_off(context: Context) -> Sequence[str]:
    """The revoked devices whose connection has not been ended yet."""
    async with context.database.reading() as session:
        query = select(Device.id).where(
            Device.revoked_utc.is_not(None), Device.cut_off_utc.is_(None)
        )
        return (await session.scalars(query.order_by(Device.id))).all()


async def note_cut_off(context: Context, name: str) -> None:
    """Note that a device's connection has been ended, and clear what the broker keeps of it."""
    async with context.database.transaction() as session:
        device = await service.get(session, name)
        if device.revoked_utc is None:
            return  # enrolled anew meanwhile
        device.cut_off_utc = context.clock()
        for leaf in RETAINED:
            outbox.send(session, context.topics.device(name, leaf), b"", retain=True)
