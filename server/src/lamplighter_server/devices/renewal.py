"""Renews the certificate of a device that proves its key; over MQTT and HTTPS alike."""

from datetime import timedelta

from sqlalchemy.ext.asyncio import AsyncSession

from lamplighter_protocol import dsse
from lamplighter_protocol.renewal import RenewalReply, accept_renewal
from lamplighter_server.context import Context
from lamplighter_server.devices import certificates
from lamplighter_server.devices.models import Device
from lamplighter_server.devices.revocation import check_admitted
from lamplighter_server.pki.authority import validity
from lamplighter_server.pki.judge import read_certificate


async def renew(
    context: Context, session: AsyncSession, device: Device, raw: bytes
) -> RenewalReply:
    """Issue a certificate for the device's known key, or give the newest again while it is young.

    A request that is repeated, by the device or by somebody who has recorded it, changes nothing.

    Raises:
        LamplighterError: As accept_renewal, and DEVICE_REVOKED.
    """
    key = dsse.load_public(device.public_key_pem)
    accept_renewal(raw, device=device.id, fleet=context.settings.fleet, key=key)
    check_admitted(device)
    now_utc, newest = context.clock(), device.certificate_pem
    if newest is None or not validity(read_certificate(newest)).is_young(now_utc):
        lifetime = timedelta(seconds=context.settings.certificate_lifetime_s)
        certificate = context.authority.issue_device(device.id, key, now_utc, lifetime)
        certificates.record(session, device.id, certificate)
        device.certificate_serial = certificates.serial(certificate)
        device.certificate_pem = newest = certificates.pem(certificate)
    return RenewalReply(certificate_pem=newest)
