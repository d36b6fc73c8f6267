"""Renewal of a device's certificate: asked for with a signature, over MQTT or HTTPS alike.

The request says nothing but who asks, and for which key if not for its own, so it may be repeated
by anybody at any time: what comes of it is of use only to the holder of that key, and the server
issues no second certificate while the first is young (ADR 11), or for a key that is not the
device's own, ever (ADR 16). It therefore needs neither a clock nor a nonce.
"""

from datetime import datetime, timedelta
from typing import Final

import msgspec

from lamplighter_protocol import dsse
from lamplighter_protocol.canonical import decode, encode
from lamplighter_protocol.errors import CATALOGUE, LamplighterError
from lamplighter_protocol.names import Name
from lamplighter_protocol.reported import Failure

PAYLOAD_TYPE: Final = "application/vnd.lamplighter.renewal+json"
#: Below a device's topics: where it asks, and where it is answered.
LEAF: Final = "rpc/renew"
REPLY_LEAF: Final = f"{LEAF}/reply"
DOOR_PATH: Final = "/api/v1/enrol/renew"
MAX_REQUEST_BYTES: Final = 4096
MAX_REPLY_BYTES: Final = 64 * 1024


class RenewalRequest(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Who asks. The key that signs stays the one that the server knows."""

    device: Name
    fleet: Name
    tls_key_pem: str = ""
    """The public key to certify; without it, the one that signs."""


class RenewalReply(msgspec.Struct, frozen=True, kw_only=True):
    """The newest certificate, or why there is none."""

    certificate_pem: str = ""
    failure: Failure | None = None


class Validity(msgspec.Struct, frozen=True, kw_only=True):
    """From when to when a certificate is valid, aware, in UTC."""

    from_utc: datetime
    until_utc: datetime

    @property
    def lifetime(self) -> timedelta:
        """How long it is valid in all."""
        return self.until_utc - self.from_utc

    def is_due(self, now_utc: datetime) -> bool:
        """Whether its holder shall renew it: two thirds of its life are over."""
        return now_utc >= self.from_utc + self.lifetime * 2 / 3

    def is_young(self, now_utc: datetime) -> bool:
        """Whether its issuer need not renew it: not even one third of its life is over."""
        return now_utc < self.from_utc + self.lifetime / 3

    def has_ended(self, now_utc: datetime) -> bool:
        """Whether it is valid no longer."""
        return now_utc >= self.until_utc


def sign_renewal(request: RenewalRequest, signer: dsse.Signer) -> bytes:
    """The envelope that is sent."""
    return dsse.sign(PAYLOAD_TYPE, encode(request), signer)


def claimed_device(raw: bytes) -> str:
    """Whose request it says it is, unverified: which key `accept_renewal` must be asked about.

    Raises:
        LamplighterError: MESSAGE_TOO_LARGE or MESSAGE_MALFORMED.
    """
    return _read(dsse.read_unverified(raw, max_bytes=MAX_REQUEST_BYTES)).device


def accept_renewal(raw: bytes, *, device: str, fleet: str, key: dsse.PublicKey) -> dsse.PublicKey:
    """The server's verdict on a request.

    Returns:
        The key to certify.

    Raises:
        LamplighterError: MESSAGE_TOO_LARGE, MESSAGE_MALFORMED, or SIGNATURE_INVALID (also when it
            names another device or fleet).
    """
    payload = dsse.verify(raw, PAYLOAD_TYPE, {dsse.key_id(key): key}, max_bytes=MAX_REQUEST_BYTES)
    request = _read(payload)
    if (request.device, request.fleet) != (device, fleet):
        raise LamplighterError(
            "SIGNATURE_INVALID", f"{device} sent a renewal signed for {request.device}."
        )
    return dsse.load_public(request.tls_key_pem) if request.tls_key_pem else key


def _read(payload: bytes) -> RenewalRequest:
    return decode(payload, RenewalRequest, what="The renewal", max_bytes=MAX_REQUEST_BYTES)


def read_reply(raw: bytes) -> str:
    """The certificate that came, as PEM, still unverified.

    Raises:
        LamplighterError: MESSAGE_TOO_LARGE, MESSAGE_MALFORMED, or what the server answers.
    """
    if len(raw) > MAX_REPLY_BYTES:
        raise LamplighterError("MESSAGE_TOO_LARGE", f"A renewal's reply has {len(raw)} bytes.")
    try:
        reply = msgspec.json.decode(raw, type=RenewalReply)
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        raise LamplighterError(
            "MESSAGE_MALFORMED", f"The renewal's reply is malformed: {error}."
        ) from error
    if (failure := reply.failure) is not None:
        code = failure.code if failure.code in CATALOGUE else "MESSAGE_MALFORMED"
        raise LamplighterError(code, failure.sentence)
    return reply.certificate_pem
