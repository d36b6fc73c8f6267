"""A new certificate: asked for over HTTPS, and judged wherever it came from."""

from datetime import datetime

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm

from lamplighter_agent.link.enrol import call
from lamplighter_agent.link.tls import pinned_context
from lamplighter_protocol import dsse
from lamplighter_protocol.certificates import speaks_for
from lamplighter_protocol.errors import LamplighterError
from lamplighter_protocol.renewal import DOOR_PATH, MAX_REPLY_BYTES, Validity


def ask_door(url: str, ca_pem: str, request: bytes, now_utc: datetime) -> bytes:
    """Send a signed request to the devices' door, which wants no certificate. Blocks.

    Returns:
        The reply, for lamplighter_protocol.renewal.read_reply.

    Raises:
        LamplighterError: SERVER_UNREACHABLE, SERVER_UNTRUSTED, MESSAGE_TOO_LARGE, or what the
            server answers.
    """
    context = pinned_context(ca_pem)
    return call(url, DOOR_PATH, context, body=request, max_bytes=MAX_REPLY_BYTES, now_utc=now_utc)


def read_validity(pem: str) -> Validity:
    """From when to when a certificate is valid.

    Raises:
        LamplighterError: MESSAGE_MALFORMED.
    """
    return _validity(_load(pem))


def check_own(pem: str, *, ca_pem: str, key: dsse.PublicKey, signer: dsse.PublicKey) -> None:
    """Refuse a certificate that does not belong to this device's keys and pinned authority.

    Args:
        pem: What the device connects with.
        ca_pem: The pinned authority.
        key: Of TLS.
        signer: The device's own.

    Raises:
        LamplighterError: MESSAGE_MALFORMED, SERVER_UNTRUSTED.
    """
    certificate = _load(pem)
    _check_issuer(certificate, _load(ca_pem))
    if certificate.public_key() != key or not speaks_for(certificate, signer):
        raise LamplighterError("SERVER_UNTRUSTED", "The certificate is for another key.")


def is_newer(
    pem: str, *, current_pem: str, ca_pem: str, key: dsse.PublicKey, signer: dsse.PublicKey
) -> bool:
    """Whether a certificate may and shall take the place of the current one.

    Args:
        pem: What is offered.
        current_pem: What it would replace.
        ca_pem: The pinned authority.
        key: The key that was to be certified.
        signer: The device's own key.

    Returns:
        False if it is the same or does not last longer: the server has nothing newer, or an old
        one was replayed.

    Raises:
        LamplighterError: MESSAGE_MALFORMED; SERVER_UNTRUSTED if the pinned authority did not issue
            it, or not to this device's name and keys.
    """
    offered, current, authority = _load(pem), _load(current_pem), _load(ca_pem)
    _check_issuer(offered, authority)
    if offered == current:
        return False
    named = (offered.subject, offered.public_key()) == (current.subject, key)
    if not named or not speaks_for(offered, signer):
        raise LamplighterError(
            "SERVER_UNTRUSTED", "The new certificate is for another name or key."
        )
    return _validity(offered).until_utc > _validity(current).until_utc


def _check_issuer(certificate: x509.Certificate, authority: x509.Certificate) -> None:
    try:
        certificate.verify_directly_issued_by(authority)
    except (InvalidSignature, UnsupportedAlgorithm, ValueError, TypeError) as error:
        raise LamplighterError(
            "SERVER_UNTRUSTED", "The invited CA did not issue the certificate."
        ) from error


def _load(pem: str) -> x509.Certificate:
    try:
        return x509.load_pem_x509_certificate(pem.encode())
    except ValueError as error:
        raise LamplighterError("MESSAGE_MALFORMED", f"Not a certificate: {error}.") from error


def _validity(certificate: x509.Certificate) -> Validity:
    return Validity(
        from_utc=certificate.not_valid_before_utc, until_utc=certificate.not_valid_after_utc
    )
