"""Enrolment over HTTPS: nothing is believed that the invitation does not pin (design 3.2)."""

import hashlib
import http.client
import ssl
import urllib.parse
from dataclasses import dataclass
from datetime import datetime
from typing import Final

import msgspec
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from cryptography.x509.oid import NameOID

from lamplighter_agent.link.tls import check_dates, pinned_context
from lamplighter_protocol import dsse
from lamplighter_protocol.canonical import sha256
from lamplighter_protocol.certificates import speaks_for
from lamplighter_protocol.enrolment import (
    EnrolmentReply,
    EnrolmentRequest,
    Invitation,
    OwnKey,
    telemetry_key,
)
from lamplighter_protocol.errors import CATALOGUE, LamplighterError
from lamplighter_protocol.names import MAX_TRUST_FILE_BYTES
from lamplighter_protocol.renewal import RenewalRequest, sign_renewal
from lamplighter_protocol.reported import Failure, Inventory

TIMEOUT_S: Final = 30.0
_MAX_CA_BYTES: Final = 64 * 1024


@dataclass(frozen=True)
class Enrolled:
    """What enrolment gives: everything that the identity holds, verified."""

    reply: EnrolmentReply
    ca_pem: str
    telemetry_key: bytes


def enrol(
    invitation: Invitation,
    device: str,
    key: ec.EllipticCurvePrivateKey,
    agreement: X25519PrivateKey,
    inventory: Inventory,
    now_utc: datetime,
    token: dsse.Signer | None = None,
) -> Enrolled:
    """Exchange an invitation for a certificate, or ask for one with a claim. Blocks.

    Args:
        invitation: As a person brought it.
        device: The name that the board gets.
        key: The new key of the certificate; only a signing request with its public half leaves.
        agreement: Its new key for what is sealed; its public half leaves too.
        inventory: What the board is.
        now_utc: The clock, against which the server's certificate is checked.
        token: The device's own key, if it is on a token, where TLS cannot use it.

    Raises:
        LamplighterError: SERVER_UNREACHABLE, SERVER_UNTRUSTED, MESSAGE_MALFORMED,
            MESSAGE_TOO_LARGE, INVITATION_INVALID, what the token refuses, or what the server
            answers: with a claim, ENROLMENT_PENDING until somebody has decided.
    """
    ca_pem = _fetch_ca(invitation)
    request = EnrolmentRequest(
        device=device,
        token=invitation.token,
        csr_pem=_signing_request(device, key),
        agreement_public=agreement.public_key().public_bytes_raw(),
        inventory=inventory,
        own_key=_vouch(device, invitation.fleet, key, token) if token else None,
    )
    raw = call(
        invitation.url,
        "/api/v1/enrol" if invitation.device else "/api/v1/enrol/claim",
        pinned_context(ca_pem),
        body=msgspec.json.encode(request),
        now_utc=now_utc,
    )
    try:
        reply = msgspec.json.decode(raw, type=EnrolmentReply)
        derived = telemetry_key(agreement, reply.agreement_public, device)
        certificate = x509.load_pem_x509_certificate(reply.certificate_pem.encode())
    except (msgspec.MsgspecError, ValueError, RecursionError, x509.InvalidVersion) as error:
        raise LamplighterError(
            "MESSAGE_MALFORMED", f"The server's reply is malformed: {error}."
        ) from error
    if sha256(reply.root_json) != invitation.root_sha256:
        raise LamplighterError("SERVER_UNTRUSTED", "The TUF root is not the invited one.")
    if certificate.public_key() != key.public_key():
        raise LamplighterError("SERVER_UNTRUSTED", "The certificate is for another key.")
    if token is not None and not speaks_for(certificate, token.public):
        raise LamplighterError(
            "SERVER_UNTRUSTED",
            "The certificate does not name the key on the token: update the server.",
        )
    return Enrolled(reply=reply, ca_pem=ca_pem, telemetry_key=derived)


def _fetch_ca(invitation: Invitation) -> str:
    """Fetch the authority's certificate without trust and compare it with what was pinned."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    raw = call(invitation.url, "/api/v1/enrol/ca", context, max_bytes=_MAX_CA_BYTES)
    try:
        der = x509.load_pem_x509_certificate(raw).public_bytes(serialization.Encoding.DER)
    except (ValueError, x509.InvalidVersion) as error:
        raise LamplighterError(
            "SERVER_UNTRUSTED", "The server has no readable CA certificate."
        ) from error
    if hashlib.sha256(der).hexdigest() != invitation.ca_sha256:
        raise LamplighterError("SERVER_UNTRUSTED", "The CA certificate is not the invited one.")
    return ssl.DER_cert_to_PEM_cert(der)


def _vouch(device: str, fleet: str, key: ec.EllipticCurvePrivateKey, token: dsse.Signer) -> OwnKey:
    request = RenewalRequest(
        device=device,
        fleet=fleet,
        tls_key_pem=dsse.public_pem(key.public_key()),
    )
    return OwnKey(public_pem=dsse.public_pem(token.public), renewal=sign_renewal(request, token))


def _signing_request(device: str, key: ec.EllipticCurvePrivateKey) -> str:
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, device)])
    request = x509.CertificateSigningRequestBuilder().subject_name(subject)
    return request.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM).decode()


def call(
    url: str,
    path: str,
    context: ssl.SSLContext,
    *,
    body: bytes | None = None,
    max_bytes: int = 2 * MAX_TRUST_FILE_BYTES,
    now_utc: datetime | None = None,
) -> bytes:
    """One request to the devices' door: POST with a body, else GET. Blocks.

    Args:
        url: The door's address.
        path: What is asked for.
        context: Whom to trust.
        body: JSON.
        max_bytes: How much may come back.
        now_utc: The clock, against which the server's certificate is checked, if at all.

    Raises:
        LamplighterError: INVITATION_INVALID, SERVER_UNREACHABLE, SERVER_UNTRUSTED,
            MESSAGE_TOO_LARGE, or what the server answers.
    """
    try:
        parts = urllib.parse.urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError:
        host = port = None
    if host is None or parts.scheme != "https":
        raise LamplighterError("INVITATION_INVALID", f"{url!r} is not an HTTPS address.")
    connection = http.client.HTTPSConnection(host, port, timeout=TIMEOUT_S, context=context)
    try:
        connection.connect()
        if now_utc is not None:
            check_dates(connection.sock.getpeercert() or {}, now_utc)
        connection.request(
            "GET" if body is None else "POST",
            parts.path.rstrip("/") + path,
            body,
            {"Content-Type": "application/json"} if body else {},
        )
        answer = connection.getresponse()
        raw = answer.read(max_bytes + 1)
    except ssl.SSLCertVerificationError as error:
        raise LamplighterError(
            "SERVER_UNTRUSTED", f"{host} does not belong to the invited CA: {error}."
        ) from error
    except (OSError, http.client.HTTPException) as error:
        raise LamplighterError("SERVER_UNREACHABLE", f"{url} does not answer: {error}.") from error
    finally:
        connection.close()
    if len(raw) > max_bytes:
        raise LamplighterError("MESSAGE_TOO_LARGE", f"{path} answers more than {max_bytes} bytes.")
    if answer.status != http.client.OK:
        raise _refusal(answer.status, raw)
    return raw


def _refusal(status: int, raw: bytes) -> LamplighterError:
    try:
        failure = msgspec.json.decode(raw, type=Failure)
    except (msgspec.MsgspecError, ValueError, RecursionError):
        failure = None
    if failure is None or failure.code not in CATALOGUE:
        return LamplighterError("SERVER_UNREACHABLE", f"The server answers with status {status}.")
    return LamplighterError(failure.code, failure.sentence)
