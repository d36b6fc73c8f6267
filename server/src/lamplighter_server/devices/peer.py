"""Who speaks at the devices' door: the device to which the shown certificate was issued."""

from fastapi import Request
from sqlalchemy.ext.asyncio import AsyncSession

from lamplighter_protocol.errors import LamplighterError
from lamplighter_server.actor import Actor
from lamplighter_server.devices import certificates, service
from lamplighter_server.devices.models import Device
from lamplighter_server.devices.revocation import check_admitted
from lamplighter_server.pki.shown import shown_certificate


async def identify(request: Request, session: AsyncSession) -> Device:
    """The device that has shown its certificate.

    Raises:
        LamplighterError: CERTIFICATE_MISSING if it is not one of a device, or DEVICE_REVOKED.
    """
    certificate = shown_certificate(request.scope)
    holder = await certificates.find_holder(session, certificate) if certificate else None
    if holder is None:
        raise LamplighterError("CERTIFICATE_MISSING", "No device's certificate was shown.")
    request.state.actor = Actor("device", holder)
    device = await service.get(session, holder)
    check_admitted(device)
    return device
