"""The keys of one holder: which there are, where each lies, and how to open them."""

from collections.abc import Collection
from pathlib import Path
from typing import Any, Final

import msgspec
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import (
    Ed25519PrivateKey,
    Ed25519PublicKey,
)
from securesystemslib.signer import CryptoSigner, Key, Signer, SSlibKey

from lamplighter_protocol.canonical import decode, encode
from lamplighter_protocol.errors import LamplighterError
from lamplighter_server.files import write_durably
from lamplighter_server.publishing.signers import (
    FILE,
    Secrets,
    import_key,
    open_file,
    open_signer,
)
from lamplighter_server.trust.roles import check_key

REGISTER: Final = "keys.json"
_MAX_REGISTER_BYTES: Final = 1024 * 1024


class HeldKey(msgspec.Struct, frozen=True, kw_only=True):
    """One key that its holder can sign with."""

    keyid: str
    purpose: str
    """What it was made for: `root`, `targets`, or a name of the holder's choice."""
    uri: str
    """Where the private part is; the path of a file in this folder is relative."""
    public: dict[str, Any]


class KeyRing:
    """The keys in one folder. New ones stay in memory until a passphrase is there."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._fresh: dict[str, tuple[str, CryptoSigner]] = {}

    @property
    def held(self) -> tuple[HeldKey, ...]:
        """The keys that are stored here.

        Raises:
            LamplighterError: MESSAGE_MALFORMED or TRUST_REFUSED if the register was damaged.
        """
        try:
            raw = (self._folder / REGISTER).read_bytes()
        except FileNotFoundError:
            return ()
        return decode(raw, tuple[HeldKey, ...], what=f"{REGISTER}", max_bytes=_MAX_REGISTER_BYTES)

    @property
    def keyids(self) -> set[str]:
        """The ids of all keys that can be opened here, stored or fresh."""
        return {key.keyid for key in self.held} | self._fresh.keys()

    def made_for(self, purpose: str) -> list[Key]:
        """The public parts of the stored keys with this purpose."""
        return [_public(key) for key in self.held if key.purpose == purpose]

    def generate(self, purpose: str) -> Key:
        """Make an Ed25519 key; it is stored, encrypted, when keys are opened the next time."""
        signer = CryptoSigner(Ed25519PrivateKey.generate())
        self._fresh[signer.public_key.keyid] = (purpose, signer)
        return signer.public_key

    def adopt(self, purpose: str, uri: str, secrets: Secrets) -> Key:
        """Register a key that lies elsewhere: in another file, a token or a service.

        Raises:
            LamplighterError: As `signers.import_key`.
        """
        full_uri, key = import_key(uri, secrets)
        self._register(
            HeldKey(keyid=key.keyid, purpose=purpose, uri=full_uri, public=key.to_dict())
        )
        return key

    def open(self, keyids: Collection[str], secrets: Secrets) -> list[Signer]:
        """Open those of the keys that are here, after storing the fresh ones.

        Raises:
            LamplighterError: PASSPHRASE_WRONG, KEY_MISSING, TRUST_REFUSED or SIGNER_UNAVAILABLE.
        """
        for purpose, signer in list(self._fresh.values()):
            self._store(purpose, signer, secrets("passphrase"))
        return [
            open_signer(self._resolve(key.uri), _public(key), secrets)
            for key in self.held
            if key.keyid in keyids
        ]

    def retire(self, keyids: Collection[str]) -> None:
        """Forget keys that no metadata name any more, and delete their files in this folder."""
        retired = [key for key in self.held if key.keyid in keyids]
        if not retired:
            return
        self._write(tuple(key for key in self.held if key.keyid not in keyids))
        for key in retired:
            if (path := _own_file(key.uri)) is not None:
                (self._folder / path).unlink(missing_ok=True)

    def _store(self, purpose: str, signer: CryptoSigner, passphrase: str) -> None:
        if not passphrase:
            raise LamplighterError("PASSPHRASE_WRONG", "Offline keys need a passphrase.")
        for other in self.held:  # one passphrase opens them all
            if (path := _own_file(other.uri)) is not None:
                open_file(self._folder / path, passphrase)
        keyid = signer.public_key.keyid
        name = f"{purpose}-{keyid[:8]}.pem"
        private = serialization.load_pem_private_key(signer.private_bytes, None)
        pem = private.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.BestAvailableEncryption(passphrase.encode()),
        )
        write_durably(self._folder / name, pem)
        self._register(
            HeldKey(
                keyid=keyid,
                purpose=purpose,
                uri=f"{FILE}:{name}?encrypted=true",
                public=signer.public_key.to_dict(),
            )
        )
        del self._fresh[keyid]

    def _register(self, key: HeldKey) -> None:
        self._write((*(other for other in self.held if other.keyid != key.keyid), key))

    def _write(self, keys: tuple[HeldKey, ...]) -> None:
        write_durably(self._folder / REGISTER, encode(keys))

    def _resolve(self, uri: str) -> str:
        path = _own_file(uri)
        return f"{FILE}:{(self._folder / path).absolute()}" if path is not None else uri


def read_public(path: Path) -> Key:
    """The public key in a PEM file, as another holder gave it.

    Raises:
        LamplighterError: NOT_FOUND or MESSAGE_MALFORMED.
    """
    try:
        pem = path.read_bytes()
    except OSError as error:
        raise LamplighterError("NOT_FOUND", f"{path}: {error.strerror}.") from error
    try:
        return SSlibKey.from_crypto(serialization.load_pem_public_key(pem))
    except ValueError as error:
        raise LamplighterError(
            "MESSAGE_MALFORMED", f"{path}: not a public key: {error}."
        ) from error


def public_pem(key: Key) -> bytes:
    """A public key as PEM, to be given to somebody who names it in metadata."""
    if key.keytype != "ed25519":
        return str(key.keyval["public"]).encode()
    public = Ed25519PublicKey.from_public_bytes(bytes.fromhex(key.keyval["public"]))
    return public.public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )


def _public(held: HeldKey) -> Key:
    return read_key({"keyid": held.keyid, **held.public})


def read_key(document: Any) -> Key:  # noqa: ANN401 - JSON from elsewhere
    """A public key as metadata and the server write it, with its id.

    Raises:
        LamplighterError: MESSAGE_MALFORMED, or TRUST_REFUSED if its id is not its own.
    """
    try:
        fields = dict(document)
        key = SSlibKey.from_dict(fields.pop("keyid"), fields)
    except (KeyError, TypeError, ValueError) as error:
        raise LamplighterError("MESSAGE_MALFORMED", f"Not a TUF key: {error}.") from error
    check_key(key)
    return key


def _own_file(uri: str) -> str | None:
    """The name of a key file in this folder; None if the key lies elsewhere."""
    scheme, _, rest = uri.partition(":")
    path = rest.partition("?")[0]
    return path if scheme == FILE and not path.startswith("/") else None
