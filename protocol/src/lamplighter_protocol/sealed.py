"""Confidential blobs: sealed by chunk for the wire, their key wrapped for one device.

Each release has a random key; each of its blobs has a key derived from it, so a chunk's number can
be its nonce and sealing the same blob again gives the same bytes.
"""

import struct
from typing import Final

import msgspec
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from lamplighter_protocol.blobs import chunk_size_bytes, count_chunks
from lamplighter_protocol.canonical import encode
from lamplighter_protocol.errors import LamplighterError
from lamplighter_protocol.names import Name, Release, Sha256

KEY_BYTES: Final = 32
TAG_BYTES: Final = 16
_ONCE: Final = bytes(12)  # the nonce of a key that seals one message in its life


class Recipient(msgspec.Struct, frozen=True, kw_only=True):
    """Whom a wrapped key is for, and what it opens: a wrap for any other is refused."""

    fleet: Name
    device: Name
    model: Name
    release: Release
    manifest_sha256: Sha256


def new_release_key() -> bytes:
    """A random key of KEY_BYTES for one release."""
    return ChaCha20Poly1305.generate_key()


def wrap_key(release_key: bytes, public: bytes, recipient: Recipient) -> bytes:
    """Seal a release key so that only the holder of an X25519 private key can read it.

    Args:
        release_key: KEY_BYTES.
        public: The device's agreement key, 32 bytes.
        recipient: What the wrap is bound to.

    Returns:
        An ephemeral public key (32 bytes), then the sealed key (48 bytes).

    Raises:
        LamplighterError: KEY_REFUSED if `public` is no usable key.
    """
    ephemeral = X25519PrivateKey.generate()
    sender = ephemeral.public_key().public_bytes_raw()
    wrapping = _wrapping_key(ephemeral, public, sender + public, recipient)
    return sender + ChaCha20Poly1305(wrapping).encrypt(_ONCE, release_key, None)


def unwrap_key(wrapped: bytes, private: X25519PrivateKey, recipient: Recipient) -> bytes:
    """Read a release key that was wrapped for this device and this release.

    Raises:
        LamplighterError: KEY_REFUSED.
    """
    sender, sealed = wrapped[:KEY_BYTES], wrapped[KEY_BYTES:]
    public = private.public_key().public_bytes_raw()
    wrapping = _wrapping_key(private, sender, sender + public, recipient)
    try:
        if len(sealed) != KEY_BYTES + TAG_BYTES:
            raise InvalidTag
        return ChaCha20Poly1305(wrapping).decrypt(_ONCE, sealed, None)
    except InvalidTag as error:
        raise LamplighterError(
            "KEY_REFUSED",
            f"The key of {recipient.model} release {recipient.release} is not for "
            f"{recipient.fleet}/{recipient.device} as it is enrolled.",
        ) from error


class ChunkCipher:
    """Seals and opens the chunks of one blob, in any order.

    Args:
        release_key: KEY_BYTES.
        sha256: Digest of the plain blob.
        size_bytes: Its length.
    """

    def __init__(self, release_key: bytes, sha256: str, size_bytes: int) -> None:
        self._digest = bytes.fromhex(sha256)
        self._size_bytes = size_bytes
        self._aead = ChaCha20Poly1305(_derive(release_key, None, b"blob " + self._digest))

    def seal(self, number: int, chunk: bytes) -> bytes:
        """The chunk as it travels: TAG_BYTES longer."""
        return self._aead.encrypt(_nonce(number), chunk, self._place(number))

    def open(self, number: int, sealed: bytes) -> bytes:
        """The plain chunk, of the length that was signed.

        Raises:
            LamplighterError: CHUNK_REFUSED if it is not chunk `number` of this blob.
        """
        try:
            if (
                not 0 <= number < count_chunks(self._size_bytes)
                or len(sealed) != chunk_size_bytes(self._size_bytes, number) + TAG_BYTES
            ):
                raise InvalidTag
            return self._aead.decrypt(_nonce(number), sealed, self._place(number))
        except InvalidTag as error:
            raise LamplighterError(
                "CHUNK_REFUSED",
                f"Chunk {number} of blob {self._digest.hex()[:12]} does not open with its key.",
            ) from error

    def _place(self, number: int) -> bytes:
        is_last = number == count_chunks(self._size_bytes) - 1
        return self._digest + struct.pack(">Q?", number, is_last)


def sealed_size_bytes(size_bytes: int) -> int:
    """The length of all sealed chunks together of a blob of `size_bytes`."""
    return size_bytes + count_chunks(size_bytes) * TAG_BYTES


def _nonce(number: int) -> bytes:
    return number.to_bytes(12, "big")


def _wrapping_key(
    private: X25519PrivateKey, peer: bytes, parties: bytes, recipient: Recipient
) -> bytes:
    try:
        shared = private.exchange(X25519PublicKey.from_public_bytes(peer))
    except ValueError as error:  # not 32 bytes, or a point that gives everybody the same secret
        raise LamplighterError(
            "KEY_REFUSED", f"The agreement key for {recipient.device} cannot be used."
        ) from error
    return _derive(shared, parties, b"release key " + encode(recipient))


def _derive(secret: bytes, salt: bytes | None, purpose: bytes) -> bytes:
    info = b"lamplighter/1 " + purpose
    return HKDF(algorithm=hashes.SHA256(), length=KEY_BYTES, salt=salt, info=info).derive(secret)
