"""Devices: what they are, and what they report of themselves."""

from collections.abc import Collection, Mapping, Sequence

import msgspec
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from lamplighter_protocol import dsse
from lamplighter_protocol.errors import LamplighterError
from lamplighter_protocol.names import check_name
from lamplighter_protocol.reported import Inventory, Reported, accept_reported
from lamplighter_protocol.telemetry import OFFLINE, ONLINE
from lamplighter_server.blobs import service as blobs
from lamplighter_server.context import Context
from lamplighter_server.devices.models import Device
from lamplighter_server.history import service as history
from lamplighter_server.people.access import FLEET, Scope, covers


async def accept_report(
    context: Context, session: AsyncSession, device: Device, raw: bytes
) -> Reported:
    """Store a device's signed state, with the envelope as proof, and serve the blobs it wants.

    Raises:
        LamplighterError: MESSAGE_TOO_LARGE, MESSAGE_MALFORMED, SIGNATURE_INVALID or REPORT_STALE.
    """
    report = accept_reported(
        raw,
        device=device.id,
        fleet=context.settings.fleet,
        key=dsse.load_public(device.public_key_pem),
        last_counter=device.report_counter,
    )
    device.boot, device.report_counter = report.boot, report.counter
    device.report_envelope, device.report = raw, msgspec.to_builtins(report)
    device.inventory = msgspec.to_builtins(report.inventory)
    await history.note(session, report, context.clock())
    known = await blobs.known(context, session, report.wants)
    await blobs.want(session, known, f"device:{device.id}", context.clock())
    return report


def relabel(device: Device, changed: Mapping[str, str], removed: Collection[str]) -> None:
    """Change a device's labels; removing one that it does not have changes nothing.

    Raises:
        LamplighterError: NAME_INVALID.
    """
    check_labels(changed)
    kept = {name: value for name, value in device.labels.items() if name not in removed}
    device.labels = {**kept, **changed}


def check_labels(labels: Mapping[str, str]) -> None:
    """Refuse labels that are no names.

    Raises:
        LamplighterError: NAME_INVALID.
    """
    for label in labels.items():
        for part in label:
            check_name(part, "label")


def set_presence(device: Device, raw: bytes) -> None:
    """Store whether the device is connected.

    Raises:
        LamplighterError: MESSAGE_MALFORMED.
    """
    if raw not in {ONLINE, OFFLINE}:
        raise LamplighterError("MESSAGE_MALFORMED", f"{device.id} sent an unknown presence.")
    device.online = raw == ONLINE


async def ls(session: AsyncSession, scope: Scope = FLEET) -> Sequence[Device]:
    """Every enrolled device inside the scope, by id."""
    rows = (await session.scalars(select(Device).order_by(Device.id))).all()
    return [device for device in rows if covers(scope, device.labels)]


async def get_all(session: AsyncSession, ids: Collection[str]) -> dict[str, Device]:
    """Several devices by id.

    Raises:
        LamplighterError: DEVICE_UNKNOWN.
    """
    rows = await session.scalars(select(Device).where(Device.id.in_(ids)))
    found = {device.id: device for device in rows}
    if unknown := sorted(set(ids) - found.keys()):
        raise LamplighterError("DEVICE_UNKNOWN", f"No device {unknown[0]!r} is enrolled.")
    return found


async def find(session: AsyncSession, device: str) -> Device | None:
    """One device, if it is enrolled."""
    return await session.get(Device, device)


async def get(session: AsyncSession, device: str, scope: Scope = FLEET) -> Device:
    """One device.

    Raises:
        LamplighterError: DEVICE_UNKNOWN, also outside the scope.
    """
    found = await find(session, device)
    if found is None or not covers(scope, found.labels):
        raise LamplighterError("DEVICE_UNKNOWN", f"No device {device!r} is enrolled.")
    return found


def read_report(device: Device) -> Reported | None:
    """The newest signed state of a device, decoded."""
    return msgspec.convert(device.report, Reported) if device.report is not None else None


def read_inventory(device: Device) -> Inventory:
    """What the board is."""
    return msgspec.convert(device.inventory, Inventory)
