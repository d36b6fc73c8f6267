"""X.509 certificates of our own authority: pure builders."""

import ipaddress
from datetime import datetime, timedelta
from typing import Final

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from lamplighter_protocol import dsse
from lamplighter_protocol.certificates import name_of_key
from lamplighter_protocol.errors import LamplighterError

AUTHORITY_LIFETIME: Final = timedelta(days=3650)
LEAF_LIFETIME: Final = timedelta(days=365)
#: Clocks differ; a certificate is valid from a little before it was made.
CLOCK_TOLERANCE: Final = timedelta(hours=1)
_UNREADABLE: Final = (
    ValueError,
    TypeError,
    UnsupportedAlgorithm,
    InvalidSignature,
    x509.InvalidVersion,
)


def build_authority(key: ec.EllipticCurvePrivateKey, now_utc: datetime) -> x509.Certificate:
    """A self-signed authority that may sign leaves only."""
    name = _name("Lamplighter authority")
    return (
        _builder(name, name, key.public_key(), now_utc, AUTHORITY_LIFETIME)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_usage(signs_certificates=True), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .sign(key, hashes.SHA256())
    )


def build_leaf(
    authority: x509.Certificate,
    authority_key: ec.EllipticCurvePrivateKey,
    *,
    common_name: str,
    public_key: dsse.PublicKey,
    now_utc: datetime,
    lifetime: timedelta,
    hosts: tuple[str, ...] = (),
    device_key: dsse.PublicKey | None = None,
) -> x509.Certificate:
    """A client certificate, or with `hosts` (names or addresses) a server certificate.

    With `device_key` it names the key that its device signs with, which TLS cannot use.
    """
    purpose = ExtendedKeyUsageOID.SERVER_AUTH if hosts else ExtendedKeyUsageOID.CLIENT_AUTH
    builder = (
        _builder(_name(common_name), authority.subject, public_key, now_utc, lifetime)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_usage(signs_certificates=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage([purpose]), critical=False)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(authority_key.public_key()),
            critical=False,
        )
    )
    names = [_general_name(host) for host in hosts]
    if device_key is not None:
        names.append(name_of_key(device_key))
    if names:
        builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
    return builder.sign(authority_key, hashes.SHA256())


def read_request(csr_pem: str, device: str) -> dsse.PublicKey:
    """The public key of a signing request; nothing else of it is taken over.

    Raises:
        LamplighterError: MESSAGE_MALFORMED if it cannot be read, is not signed with its own key,
            or that key is neither Ed25519 nor P-256; NAME_INVALID if its common name is not
            `device`.
    """
    try:
        request = x509.load_pem_x509_csr(csr_pem.encode())
        public_pem = request.public_key().public_bytes(
            Encoding.PEM, PublicFormat.SubjectPublicKeyInfo
        )
        signed = request.is_signature_valid
        names = [item.value for item in request.subject.get_attributes_for_oid(NameOID.COMMON_NAME)]
    except _UNREADABLE as error:
        raise LamplighterError(
            "MESSAGE_MALFORMED", f"The signing request cannot be read: {error}."
        ) from error
    if not signed:
        raise LamplighterError(
            "MESSAGE_MALFORMED", "The signing request is not signed with its own key."
        )
    if names != [device]:
        raise LamplighterError(
            "NAME_INVALID", f"The signing request names {names}, the invitation {device!r}."
        )
    return dsse.load_public(public_pem.decode())


def _name(common_name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])


def _builder(
    subject: x509.Name,
    issuer: x509.Name,
    public_key: dsse.PublicKey,
    now_utc: datetime,
    lifetime: timedelta,
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(public_key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now_utc - CLOCK_TOLERANCE)
        .not_valid_after(now_utc + lifetime)
    )


def _usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        encipher_only=False,
        decipher_only=False,
    )


def _general_name(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        return x509.DNSName(host)
