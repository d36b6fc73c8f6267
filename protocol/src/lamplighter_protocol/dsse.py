"""DSSE envelopes (https://github.com/secure-systems-lab/dsse, protocol v1.0.0).

Keys are Ed25519 or ECDSA P-256 (the kind that TPMs offer); a key's id is the SHA-256 of its
SubjectPublicKeyInfo in DER.
"""

import base64
from collections.abc import Mapping
from typing import Protocol

import msgspec
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519

from lamplighter_protocol.canonical import sha256
from lamplighter_protocol.errors import LamplighterError
from lamplighter_protocol.names import MAX_ENVELOPE_BYTES

PublicKey = ed25519.Ed25519PublicKey | ec.EllipticCurvePublicKey
PrivateKey = ed25519.Ed25519PrivateKey | ec.EllipticCurvePrivateKey


class Signer(Protocol):
    """The key port: a key that may live in a file, a TPM or behind PKCS#11."""

    @property
    def public(self) -> PublicKey:
        """The public key."""

    @property
    def key_id(self) -> str:
        """The id of the public key."""

    def sign(self, message: bytes) -> bytes:
        """Sign `message`. Blocks; a token may take a second, or fail with an error of its own."""


class SoftwareSigner:
    """A signer whose private key is in memory."""

    def __init__(self, private: PrivateKey) -> None:
        self._private = private
        self.public: PublicKey = private.public_key()
        self.key_id = key_id(self.public)

    def sign(self, message: bytes) -> bytes:
        """Sign `message` with Ed25519, or ECDSA P-256 with SHA-256."""
        if isinstance(self._private, ed25519.Ed25519PrivateKey):
            return self._private.sign(message)
        return self._private.sign(message, ec.ECDSA(hashes.SHA256()))


class _Signature(msgspec.Struct):
    keyid: str
    sig: str


class _Envelope(msgspec.Struct, rename={"payload_type": "payloadType"}):
    payload: str
    payload_type: str
    signatures: list[_Signature]


def key_id(public: PublicKey) -> str:
    """The id of a public key."""
    return sha256(
        public.public_bytes(
            serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
        )
    )


def public_pem(public: PublicKey) -> str:
    """The PEM text of a public key."""
    return public.public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    ).decode()


def load_public(pem: str) -> PublicKey:
    """Read an Ed25519 or P-256 public key.

    Raises:
        LamplighterError: MESSAGE_MALFORMED.
    """
    try:
        public = serialization.load_pem_public_key(pem.encode())
    except (ValueError, UnsupportedAlgorithm) as error:
        raise LamplighterError("MESSAGE_MALFORMED", f"Not a public key: {error}.") from error
    if isinstance(public, ed25519.Ed25519PublicKey) or (
        isinstance(public, ec.EllipticCurvePublicKey) and isinstance(public.curve, ec.SECP256R1)
    ):
        return public
    raise LamplighterError("MESSAGE_MALFORMED", "Keys must be Ed25519 or ECDSA P-256.")


def _pre_authentication_encoding(payload_type: str, payload: bytes) -> bytes:
    kind = payload_type.encode()
    return b"DSSEv1 %d %b %d %b" % (len(kind), kind, len(payload), payload)


def sign(payload_type: str, payload: bytes, signer: Signer) -> bytes:
    """Wrap `payload` in an envelope with one signature."""
    message = _pre_authentication_encoding(payload_type, payload)
    envelope = _Envelope(
        payload=base64.b64encode(payload).decode(),
        payload_type=payload_type,
        signatures=[_Signature(signer.key_id, base64.b64encode(signer.sign(message)).decode())],
    )
    return msgspec.json.encode(envelope)


def verify(
    raw: bytes,
    payload_type: str,
    keys: Mapping[str, PublicKey],
    *,
    max_bytes: int = MAX_ENVELOPE_BYTES,
) -> bytes:
    """Return the payload if one of `keys` (by id) signed it.

    Raises:
        LamplighterError: MESSAGE_TOO_LARGE, MESSAGE_MALFORMED or SIGNATURE_INVALID.
    """
    envelope, payload, signatures = _open(raw, max_bytes)
    if envelope.payload_type != payload_type:
        raise LamplighterError(
            "SIGNATURE_INVALID",
            f"The envelope holds {envelope.payload_type!r}, not {payload_type!r}.",
        )
    message = _pre_authentication_encoding(payload_type, payload)
    if any(_is_signed(keys.get(keyid), signature, message) for keyid, signature in signatures):
        return payload
    raise LamplighterError("SIGNATURE_INVALID", f"No known key signed this {payload_type}.")


def _is_signed(public: PublicKey | None, signature: bytes, message: bytes) -> bool:
    try:
        if isinstance(public, ed25519.Ed25519PublicKey):
            public.verify(signature, message)
            return True
        if isinstance(public, ec.EllipticCurvePublicKey):
            public.verify(signature, message, ec.ECDSA(hashes.SHA256()))
            return True
    except InvalidSignature:
        return False
    return False


def read_unverified(raw: bytes, *, max_bytes: int = MAX_ENVELOPE_BYTES) -> bytes:
    """Return the payload, whoever signed it: only to find out which key to ask about it.

    Raises:
        LamplighterError: MESSAGE_TOO_LARGE or MESSAGE_MALFORMED.
    """
    return _open(raw, max_bytes)[1]


def _open(raw: bytes, max_bytes: int) -> tuple[_Envelope, bytes, list[tuple[str, bytes]]]:
    """The envelope, its payload, and its signatures by key id."""
    if len(raw) > max_bytes:
        raise LamplighterError(
            "MESSAGE_TOO_LARGE", f"The envelope has {len(raw)} bytes, the limit is {max_bytes}."
        )
    try:
        envelope = msgspec.json.decode(raw, type=_Envelope)
        payload = base64.b64decode(envelope.payload, validate=True)
        signatures = [
            (item.keyid, base64.b64decode(item.sig, validate=True)) for item in envelope.signatures
        ]
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        raise LamplighterError(
            "MESSAGE_MALFORMED", f"The envelope is malformed: {error}."
        ) from error
    return envelope, payload, signatures
