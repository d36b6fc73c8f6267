"""Certificate revocation lists of our own authority: pure."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding

from lamplighter_server.pki.certificates import CLOCK_TOLERANCE

#: After this the broker would let nobody in; a new list is signed at half time.
LIST_LIFETIME: Final = timedelta(days=7)


@dataclass(frozen=True)
class Revoked:
    """One certificate that the broker must refuse.

    Attributes:
        serial: Its serial number in hexadecimal.
        at_utc: Since when.
    """

    serial: str
    at_utc: datetime


def build_list(
    authority: x509.Certificate,
    key: ec.EllipticCurvePrivateKey,
    revoked: Iterable[Revoked],
    now_utc: datetime,
) -> bytes:
    """A signed list in PEM."""
    builder = (
        x509.CertificateRevocationListBuilder()
        .issuer_name(authority.subject)
        .last_update(now_utc - CLOCK_TOLERANCE)
        .next_update(now_utc + LIST_LIFETIME)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(key.public_key()), critical=False
        )
        .add_extension(x509.CRLNumber(int(now_utc.timestamp() * 1_000_000)), critical=False)
    )
    for item in revoked:
        builder = builder.add_revoked_certificate(
            x509.RevokedCertificateBuilder()
            .serial_number(int(item.serial, 16))
            .revocation_date(item.at_utc)
            .build()
        )
    return builder.sign(key, hashes.SHA256()).public_bytes(Encoding.PEM)


def is_current(pem: bytes, revoked: Iterable[Revoked], now_utc: datetime) -> bool:
    """Whether a list that was published names all that it must, and for long enough."""
    try:
        published = x509.load_pem_x509_crl(pem)
    except ValueError:
        return False
    until_utc = published.next_update_utc
    if until_utc is None or now_utc > until_utc - LIST_LIFETIME / 2:
        return False
    listed = {item.serial_number for item in published}
    return all(int(item.serial, 16) in listed for item in revoked)
