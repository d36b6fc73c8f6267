"""The keys that the server itself holds: snapshot, timestamp, director (design 3.2), audit."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from securesystemslib.signer import CryptoSigner

from lamplighter_protocol import dsse
from lamplighter_server.files import write_durably


@dataclass(frozen=True)
class OnlineKeys:
    """Ed25519 keys that sign without a person; none of them can introduce a release."""

    snapshot: CryptoSigner
    timestamp: CryptoSigner
    director: dsse.SoftwareSigner
    director_public_pem: str
    audit: dsse.SoftwareSigner
    """Signs where the audit log stands; nothing else."""
    audit_public_pem: str

    @classmethod
    def load_or_create(cls, folder: Path) -> "OnlineKeys":
        """Read the key files, making those that are missing."""
        director = _load_or_create(folder / "director.pem")
        audit = _load_or_create(folder / "audit.pem")
        return cls(
            snapshot=CryptoSigner(_load_or_create(folder / "snapshot.pem")),
            timestamp=CryptoSigner(_load_or_create(folder / "timestamp.pem")),
            director=dsse.SoftwareSigner(director),
            director_public_pem=dsse.public_pem(director.public_key()),
            audit=dsse.SoftwareSigner(audit),
            audit_public_pem=dsse.public_pem(audit.public_key()),
        )


def tuf_key(signer: CryptoSigner) -> dict[str, Any]:
    """The public part as TUF metadata writes it, with its id."""
    return {"keyid": signer.public_key.keyid, **signer.public_key.to_dict()}


def _load_or_create(path: Path) -> Ed25519PrivateKey:
    try:
        key = serialization.load_pem_private_key(path.read_bytes(), password=None)
    except FileNotFoundError:
        key = Ed25519PrivateKey.generate()
        pem = key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
        write_durably(path, pem)
    if not isinstance(key, Ed25519PrivateKey):
        raise TypeError(f"{path} holds no Ed25519 key")
    return key
