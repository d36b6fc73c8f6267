"""Renews the certificate of a device that proves its key; over MQTT and HTTPS alike."""

from datetime import timedelta

from sqlalchemy.ext.asyncio import AsyncSession

from lamplighter_protocol import dsse
from lamplighter_protocol.errors import LamplighterError
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
    """Issue a certificate for the device's known key, or for the fresh one that this key names.

    A request that is repeated, by the device or by somebody who has recorded it, changes nothing:
    the newest certificate is given again while it is young, and to another key than the known one
    that has it always. Such a key is certified once: whoever stole a card has its former ones.

    Raises:
        LamplighterError: As accept_renewal, DEVICE_REVOKED, and KEY_REFUSED for a former key.
    """
    known = dsse.load_public(device.public_key_pem)
    key = accept_renewal(raw, device=device.id, fleet=context.settings.fleet, key=known)
    check_admitted(device)
    now_utc = context.clock()
    if device.certificate_pem is not None:
        newest = read_certificate(device.certificate_pem)
        if validity(newest).is_young(now_utc) or newest.public_key() == key != known:
            return RenewalReply(certificate_pem=device.certificate_pem)
    if key != known and await certificates.was_certified(session, device.id, key):
        raise LamplighterError(
            "KEY_REFUSED", f"{device.id} asks for a TLS key that had its certificate before."
        )
    lifetime = timedelta(seconds=context.settings.certificate_lifetime_s)
    certificate = context.authority.issue_device(
        device.id, key, now_utc, lifetime, device_key=known
    )
    certificates.record(session, device.id, certificate)
    device.certificate_serial = certificates.serial(certificate)
    device.certificate_pem = certificates.pem(certificate)
    return RenewalReply(certificate_pem=device.certificate_pem)
