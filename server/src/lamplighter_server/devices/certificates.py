"""Which certificates a device holds: what must be refused when it is revoked."""

from collections.abc import Sequence
from datetime import datetime

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from sqlalchemy import select, update
from sqlalchemy.ext.asyncio import AsyncSession

from lamplighter_protocol import dsse
from lamplighter_protocol.canonical import sha256
from lamplighter_server.devices.models import Certificate
from lamplighter_server.pki.revocation import Revoked


def serial(certificate: x509.Certificate) -> str:
    """The serial number, hexadecimal."""
    return f"{certificate.serial_number:x}"


def pem(certificate: x509.Certificate) -> str:
    """The certificate as text."""
    return certificate.public_bytes(Encoding.PEM).decode()


def record(session: AsyncSession, device: str, certificate: x509.Certificate) -> None:
    """Remember that the authority has issued a certificate to a stored device."""
    session.add(
        Certificate(
            serial=serial(certificate),
            device=device,
            expires_utc=certificate.not_valid_after_utc,
            revoked_utc=None,
            key_sha256=sha256(
                certificate.public_key().public_bytes(
                    Encoding.DER, PublicFormat.SubjectPublicKeyInfo
                )
            ),
        )
    )


async def was_certified(session: AsyncSession, device: str, key: dsse.PublicKey) -> bool:
    """Whether a device ever had a certificate for a key."""
    query = select(Certificate.serial).where(
        Certificate.device == device, Certificate.key_sha256 == dsse.key_id(key)
    )
    return (await session.scalars(query.limit(1))).first() is not None


async def find_holder(session: AsyncSession, certificate: x509.Certificate) -> str | None:
    """The device to which a certificate was issued; None if it is revoked, or no device's own."""
    query = select(Certificate.device).where(
        Certificate.serial == serial(certificate), Certificate.revoked_utc.is_(None)
    )
    return (await session.scalars(query)).one_or_none()


async def revoke_all(session: AsyncSession, device: str, now_utc: datetime) -> None:
    """Revoke what a device holds: the newest certificate and those it has replaced."""
    await session.execute(
        update(Certificate)
        .where(
            Certificate.device == device,
            Certificate.revoked_utc.is_(None),
            Certificate.expires_utc > now_utc,
        )
        .values(revoked_utc=now_utc)
    )


async def revoked(session: AsyncSession, now_utc: datetime) -> Sequence[Revoked]:
    """Every revoked certificate that its dates alone would still let in."""
    rows = await session.execute(
        select(Certificate.serial, Certificate.revoked_utc).where(
            Certificate.revoked_utc.is_not(None), Certificate.expires_utc > now_utc
        )
    )
    return [Revoked(number, at_utc) for number, at_utc in rows if at_utc is not None]
