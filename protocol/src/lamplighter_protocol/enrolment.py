"""First trust (design 3.2): what an invitation pins and what enrolment exchanges."""

import base64
import binascii
import hashlib
from typing import Final

import msgspec
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from lamplighter_protocol.errors import LamplighterError
from lamplighter_protocol.names import Name, Sha256
from lamplighter_protocol.reported import Inventory

_PREFIX: Final = "lamp1."
_FINGERPRINT_DIGITS: Final = 32


class Invitation(msgspec.Struct, frozen=True, kw_only=True):
    """One text that a person carries to a device.

    For a named device it is valid once. A claim names none: any board may use it to ask to be let
    in, and a person decides.
    """

    url: str
    """The HTTPS address of the server's device door."""
    device: Name | None = None
    fleet: Name
    token: str
    ca_sha256: Sha256
    """Digest of the DER of the certificate authority's certificate."""
    root_sha256: Sha256
    """Digest of the TUF root, version 1."""


class OwnKey(msgspec.Struct, frozen=True, kw_only=True):
    """The key of a device that connects with another one: it is on a token (ADR 16)."""

    public_pem: str
    renewal: bytes
    """A RenewalRequest signed with it, for the key of the signing request."""


class EnrolmentRequest(msgspec.Struct, frozen=True, kw_only=True):
    """What the device sends. Its private keys never leave it."""

    device: Name
    token: str
    csr_pem: str
    agreement_public: bytes
    """The device's X25519 public key: the telemetry key is derived from it, and keys of
    confidential releases are wrapped for it."""
    inventory: Inventory
    own_key: OwnKey | None = None
    """What the device signs with, if not with the key of the signing request."""


class EnrolmentReply(msgspec.Struct, frozen=True, kw_only=True):
    """What the device gets."""

    certificate_pem: str
    root_json: bytes
    agreement_public: bytes
    broker_host: str
    broker_port: int


def encode_invitation(invitation: Invitation) -> str:
    """The invitation as one word that survives copy and paste."""
    raw = msgspec.msgpack.encode(invitation)
    return _PREFIX + base64.urlsafe_b64encode(raw).decode().rstrip("=")


def decode_invitation(text: str) -> Invitation:
    """Read an invitation.

    Raises:
        LamplighterError: INVITATION_INVALID.
    """
    text = text.strip()
    try:
        if not text.startswith(_PREFIX):
            raise ValueError("it does not start with " + _PREFIX)
        body = text.removeprefix(_PREFIX)
        raw = base64.urlsafe_b64decode(body + "=" * (-len(body) % 4))
        return msgspec.msgpack.decode(raw, type=Invitation)
    except (ValueError, binascii.Error, msgspec.MsgspecError, RecursionError) as error:
        raise LamplighterError(
            "INVITATION_INVALID", f"The invitation cannot be read: {error}."
        ) from error


def fingerprint(device: str, *publics: bytes) -> str:
    """What a person compares before a board is let in: 128 bits of SHA-256 over all that it asks.

    Args:
        device: The name that it wants.
        publics: Its public keys: SubjectPublicKeyInfo of the one to be certified, X25519 (32
            bytes), and SubjectPublicKeyInfo of its own, if that is another one.
    """
    parts = (b"lamplighter/1 claim", device.encode(), *publics)
    sized = b"".join(len(part).to_bytes(4, "big") + part for part in parts)
    digits = hashlib.sha256(sized).hexdigest()[:_FINGERPRINT_DIGITS]
    return "-".join(digits[at : at + 4] for at in range(0, _FINGERPRINT_DIGITS, 4))


def telemetry_key(private: X25519PrivateKey, peer_public: bytes, device: str) -> bytes:
    """The 32-byte key that seals telemetry, agreed without travelling (X25519, HKDF-SHA-256)."""
    shared = private.exchange(X25519PublicKey.from_public_bytes(peer_public))
    info = b"lamplighter/1 telemetry " + device.encode()
    return HKDF(algorithm=hashes.SHA256(), length=32, salt=None, info=info).derive(shared)
