"""Offline keys as encrypted files: root and targets, each under a passphrase."""

from dataclasses import dataclass
from pathlib import Path
from typing import Final

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from securesystemslib.signer import CryptoSigner

from lamplighter_protocol.errors import LamplighterError
from lamplighter_server.files import write_durably

ROLES: Final = ("root", "targets")


@dataclass(frozen=True)
class OfflineKeys:
    """The two offline signers, in memory only while something is signed."""

    root: CryptoSigner
    targets: CryptoSigner


def exist(folder: Path) -> bool:
    """Whether any offline key lies in the folder."""
    return any((folder / f"{role}.pem").exists() for role in ROLES)


def create(folder: Path, passphrase: str) -> OfflineKeys:
    """Make both keys.

    Raises:
        LamplighterError: CONFLICT if keys are there already, PASSPHRASE_WRONG if it is empty.
    """
    if exist(folder):
        raise LamplighterError("CONFLICT", f"There are keys in {folder} already.")
    if not passphrase:
        raise LamplighterError("PASSPHRASE_WRONG", "Offline keys need a passphrase.")
    for role in ROLES:
        pem = Ed25519PrivateKey.generate().private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.BestAvailableEncryption(passphrase.encode()),
        )
        write_durably(folder / f"{role}.pem", pem)
    return unlock(folder, passphrase)


def unlock(folder: Path, passphrase: str) -> OfflineKeys:
    """Read both keys.

    Raises:
        LamplighterError: TRUST_MISSING if a file is not there, PASSPHRASE_WRONG.
    """
    return OfflineKeys(*(unlock_role(folder, role, passphrase) for role in ROLES))


def unlock_role(folder: Path, role: str, passphrase: str) -> CryptoSigner:
    """Read one key: publishing needs no root key, which may lie elsewhere.

    Raises:
        LamplighterError: As `unlock`.
    """
    path = folder / f"{role}.pem"
    try:
        key = serialization.load_pem_private_key(path.read_bytes(), passphrase.encode())
    except FileNotFoundError as error:
        raise LamplighterError("TRUST_MISSING", f"There is no key {path}.") from error
    except (ValueError, TypeError) as error:
        raise LamplighterError(
            "PASSPHRASE_WRONG", f"The passphrase does not open {path.name}."
        ) from error
    return CryptoSigner(key)
