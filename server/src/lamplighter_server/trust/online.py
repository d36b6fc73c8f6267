"""The keys that the server itself holds: snapshot, timestamp, director (design 3.2), audit.

For each role there is a current key and, during a rotation, the next one. Signed metadata alone
decide which of the two signs, so a rotation may be interrupted anywhere.
"""

from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from securesystemslib.signer import CryptoSigner, Key

from lamplighter_protocol import dsse
from lamplighter_protocol.errors import LamplighterError
from lamplighter_server.files import write_durably

OnlineRole = Literal["snapshot", "timestamp", "director"]
ONLINE_ROLES: Final[tuple[OnlineRole, ...]] = ("snapshot", "timestamp", "director")
_AUDIT: Final = "audit"


@dataclass(frozen=True)
class OnlineKeys:
    """Ed25519 keys that sign without a person; none of them can introduce a release.

    Attributes:
        folder: Where the key files lie, `<role>.pem` and `<role>.next.pem`.
    """

    folder: Path

    @classmethod
    def load_or_create(cls, folder: Path) -> "OnlineKeys":
        """Make the current keys that are missing."""
        for name in (*ONLINE_ROLES, _AUDIT):
            if not (folder / f"{name}.pem").exists():
                _create(folder / f"{name}.pem")
        return cls(folder)

    @property
    def audit(self) -> dsse.SoftwareSigner:
        """Signs where the audit log stands; nothing else."""
        return dsse.SoftwareSigner(_load(self.folder / f"{_AUDIT}.pem"))

    @property
    def audit_public_pem(self) -> str:
        """The public part of `audit`."""
        return dsse.public_pem(_load(self.folder / f"{_AUDIT}.pem").public_key())

    @property
    def snapshot(self) -> CryptoSigner:
        """The current signer of snapshots."""
        return CryptoSigner(self._current("snapshot"))

    @property
    def timestamp(self) -> CryptoSigner:
        """The current signer of timestamps."""
        return CryptoSigner(self._current("timestamp"))

    @property
    def director(self) -> dsse.SoftwareSigner:
        """The current signer of assignments."""
        return dsse.SoftwareSigner(self._current("director"))

    @property
    def director_public_pem(self) -> str:
        """The public part of `director`."""
        return dsse.public_pem(self._current("director").public_key())

    def named(self, role: OnlineRole, keyids: Collection[str]) -> Ed25519PrivateKey:
        """The key of a role that signed metadata name: the current or the next one.

        Raises:
            LamplighterError: TRUST_REFUSED if this server holds none of them.
        """
        for path in (self._path(role), self._next(role)):
            if path.exists() and key_id(role, key := _load(path)) in keyids:
                return key
        raise LamplighterError(
            "TRUST_REFUSED", f"The signed metadata name no {role} key that this server holds."
        )

    def propose(self, role: OnlineRole) -> Ed25519PrivateKey:
        """The next key of a role, the same one until `settle` has made it the current one."""
        path = self._next(role)
        if not path.exists():
            _create(path)
        return _load(path)

    def settle(self, role: OnlineRole, keyids: Collection[str]) -> None:
        """Put the next key in place of the current one if signed metadata name it by now."""
        path = self._next(role)
        if path.exists() and key_id(role, _load(path)) in keyids:
            path.replace(self._path(role))

    def _current(self, role: OnlineRole) -> Ed25519PrivateKey:
        return _load(self._path(role))

    def _path(self, role: OnlineRole) -> Path:
        return self.folder / f"{role}.pem"

    def _next(self, role: OnlineRole) -> Path:
        return self.folder / f"{role}.next.pem"


def key_id(role: OnlineRole, key: Ed25519PrivateKey) -> str:
    """The id under which signed metadata name a key of this role."""
    if role == "director":
        return dsse.key_id(key.public_key())
    return str(CryptoSigner(key).public_key.keyid)


def tuf_key(public: Key) -> dict[str, Any]:
    """A public key as TUF metadata writes it, with its id."""
    return {"keyid": public.keyid, **public.to_dict()}


def _create(path: Path) -> None:
    pem = Ed25519PrivateKey.generate().private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    write_durably(path, pem)


def _load(path: Path) -> Ed25519PrivateKey:
    key = serialization.load_pem_private_key(path.read_bytes(), password=None)
    if not isinstance(key, Ed25519PrivateKey):
        raise TypeError(f"{path} holds no Ed25519 key")
    return key
