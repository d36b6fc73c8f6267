"""Private keys by URI: encrypted files, and whatever securesystemslib can sign with.

A key in a hardware token or a cloud service never leaves it; its URI says where it is.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final
from urllib.parse import parse_qs, urlparse

from cryptography.hazmat.primitives import serialization
from securesystemslib.exceptions import UnsupportedLibraryError
from securesystemslib.signer import (
    SIGNER_FOR_URI_SCHEME,
    AWSSigner,
    AzureSigner,
    CryptoSigner,
    GCPSigner,
    HSMSigner,
    Key,
    Signer,
    SSlibKey,
    VaultSigner,
)
from tuf.api.metadata import Metadata

from lamplighter_protocol.errors import LamplighterError

FILE: Final = "file"
#: Asked by name (`passphrase`, `pin`) only when a key is opened.
Secrets = Callable[[str], str]

#: Extras of securesystemslib that are not named like the scheme that needs them.
_EXTRAS: Final = {"hv": "vault", FILE: "crypto"}


class EncryptedFileSigner(CryptoSigner):
    """`file:PATH?encrypted=true`: a PKCS#8 file in PEM under a passphrase."""

    SCHEME = FILE

    @classmethod
    def from_priv_key_uri(
        cls, priv_key_uri: str, public_key: Key, secrets_handler: Secrets | None = None
    ) -> CryptoSigner:
        """Open the file.

        Raises:
            LamplighterError: KEY_MISSING or PASSPHRASE_WRONG.
        """
        passphrase = secrets_handler("passphrase") if secrets_handler else ""
        signer = open_file(Path(urlparse(priv_key_uri).path), passphrase)
        if signer.public_key != public_key:
            raise LamplighterError(
                "TRUST_REFUSED", f"{priv_key_uri} holds another key than {public_key.keyid}."
            )
        return signer


SIGNER_FOR_URI_SCHEME[FILE] = EncryptedFileSigner


def open_file(path: Path, passphrase: str) -> CryptoSigner:
    """Read an encrypted private key.

    Raises:
        LamplighterError: KEY_MISSING if there is no such file, PASSPHRASE_WRONG.
    """
    try:
        private = serialization.load_pem_private_key(path.read_bytes(), passphrase.encode())
        return CryptoSigner(private)
    except FileNotFoundError as error:
        raise LamplighterError("KEY_MISSING", f"There is no key {path}.") from error
    except (ValueError, TypeError) as error:  # TypeError: not encrypted, or without a passphrase
        raise LamplighterError(
            "PASSPHRASE_WRONG", f"The passphrase does not open {path.name}."
        ) from error


def open_signer(uri: str, key: Key, secrets: Secrets) -> Signer:
    """A signer whose public key is `key`.

    Raises:
        LamplighterError: SIGNER_UNAVAILABLE, KEY_MISSING, TRUST_REFUSED or PASSPHRASE_WRONG.
    """
    with _signer_errors(uri):
        return Signer.from_priv_key_uri(uri, key, secrets)


def sign(metadata: Metadata[Any], signer: Signer) -> None:
    """Add a signature to metadata, and see that it is one.

    Raises:
        LamplighterError: SIGNER_UNAVAILABLE or TOKEN_PIN_WRONG.
    """
    with _signer_errors(f"The key {signer.public_key.keyid}"):
        signature = metadata.sign(signer, append=True)
        signer.public_key.verify_signature(signature, metadata.signed_bytes)


def import_key(uri: str, secrets: Secrets) -> tuple[str, Key]:
    """Ask a token or a service for the public part of a key.

    Returns:
        The full URI under which the key is opened later, and the public key.

    Raises:
        LamplighterError: SIGNER_UNAVAILABLE, KEY_MISSING, PASSPHRASE_WRONG or TOKEN_PIN_WRONG.
    """
    scheme = uri.partition(":")[0]
    if scheme not in _IMPORTERS:
        raise LamplighterError(
            "SIGNER_UNAVAILABLE",
            f"{uri!r} names no kind of key; there are {', '.join(sorted(_IMPORTERS))}.",
        )
    with _signer_errors(uri):
        return _IMPORTERS[scheme](uri, secrets)


def _import_file(uri: str, secrets: Secrets) -> tuple[str, Key]:
    path = Path(urlparse(uri).path).expanduser().absolute()
    return f"{FILE}:{path}?encrypted=true", open_file(path, secrets("passphrase")).public_key


def _import_hsm(uri: str, secrets: Secrets) -> tuple[str, SSlibKey]:
    parts = urlparse(uri)
    label = parse_qs(parts.query).get("label", [None])[0]
    return HSMSigner.import_(int(parts.path) if parts.path else None, label, secrets)


def _import_azure(uri: str, _secrets: Secrets) -> tuple[str, Key]:
    vault, _, name = urlparse(uri).path.partition("/")
    return AzureSigner.import_(vault, name)


_IMPORTERS: Final[Mapping[str, Callable[[str, Secrets], tuple[str, Key]]]] = {
    FILE: _import_file,
    "hsm": _import_hsm,
    "gcpkms": lambda uri, _: GCPSigner.import_(urlparse(uri).path),
    "awskms": lambda uri, _: AWSSigner.import_(urlparse(uri).path),
    "azurekms": _import_azure,
    "hv": lambda uri, _: VaultSigner.import_(urlparse(uri).path),
}


@contextmanager
def _signer_errors(uri: str) -> Iterator[None]:
    """Drivers of tokens and services raise errors of their own kinds; securesystemslib says so."""
    try:
        yield
    except LamplighterError:
        raise
    except UnsupportedLibraryError as error:
        scheme = uri.partition(":")[0]
        extra = _EXTRAS.get(scheme, scheme)
        raise LamplighterError(
            "SIGNER_UNAVAILABLE", f"{error} Install it: pip install 'securesystemslib[{extra}]'."
        ) from error
    except Exception as error:
        cause = error.__cause__ or error  # python-tuf wraps what a signer says
        said = f"{type(cause).__name__} {cause}".strip()
        code = "TOKEN_PIN_WRONG" if said.startswith("Pin") else "SIGNER_UNAVAILABLE"
        raise LamplighterError(code, f"{uri} cannot be used: {said}.") from error
