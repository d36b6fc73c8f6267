"""The verdict on a certificate of a device: pure."""

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509.oid import NameOID

from lamplighter_protocol import dsse
from lamplighter_protocol.canonical import sha256
from lamplighter_protocol.certificates import speaks_for
from lamplighter_protocol.errors import LamplighterError


def read_certificate(pem: str) -> x509.Certificate:
    """A certificate from its PEM text.

    Raises:
        LamplighterError: MESSAGE_MALFORMED.
    """
    try:
        return x509.load_pem_x509_certificate(pem.encode())
    except (ValueError, x509.InvalidVersion) as error:
        raise LamplighterError("MESSAGE_MALFORMED", f"Not a certificate: {error}.") from error


def digest(certificate: x509.Certificate) -> str:
    """What an invitation pins of an authority: the digest of its certificate in DER."""
    return sha256(certificate.public_bytes(Encoding.DER))


def check_issued(
    certificate: x509.Certificate, authority: x509.Certificate, device: str, device_key_pem: str
) -> dsse.PublicKey:
    """The key with which a device signs, as an authority has certified; dates are not looked at.

    Args:
        certificate: What the device connects with.
        authority: Who has issued it.
        device: Its name.
        device_key_pem: The key that it is said to sign with; empty for the certificate's own.

    Raises:
        LamplighterError: SIGNATURE_INVALID if the authority did not issue it, TRUST_REFUSED if it
            is not the device's or names another key, MESSAGE_MALFORMED if the key is of another
            kind than ours.
    """
    try:
        certificate.verify_directly_issued_by(authority)
    except (InvalidSignature, UnsupportedAlgorithm, ValueError, TypeError) as error:
        raise LamplighterError(
            "SIGNATURE_INVALID", "The authority did not issue this certificate."
        ) from error
    names = [item.value for item in certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)]
    if names != [device]:
        raise LamplighterError("TRUST_REFUSED", f"The certificate is of {names}, not {device}.")
    pem = certificate.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    key = dsse.load_public(device_key_pem or pem.decode())
    if not speaks_for(certificate, key):
        raise LamplighterError(
            "TRUST_REFUSED", f"The certificate does not let this key sign for {device}."
        )
    return key
