"""Who the device is: its keys, its certificate and what it was enrolled with."""

import contextlib
import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import msgspec
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from lamplighter_agent.durable import disk_errors, fsync_directory, point, replace, write_synced
from lamplighter_agent.keys.token_key import TokenKey
from lamplighter_protocol import dsse
from lamplighter_protocol.errors import LamplighterError
from lamplighter_protocol.names import Name

_DEVICE_KEY: Final = "device-key.pem"
_TLS_KEY: Final = "tls-key.pem"
_NEXT_TLS_KEY: Final = "tls-key-next.pem"
_HELD: Final = "device-key.json"
SECRET: Final = frozenset({"agreement.key", _DEVICE_KEY, _TLS_KEY, _NEXT_TLS_KEY, "telemetry.key"})


class Enrolment(msgspec.Struct, frozen=True, kw_only=True):
    """What was agreed at enrolment and is no secret."""

    device: Name
    fleet: Name
    url: str
    broker_host: str
    broker_port: int


class _Held(msgspec.Struct, frozen=True, kw_only=True):
    """The device's key on a token."""

    uri: str
    public_pem: str


@dataclass(frozen=True)
class Identity:
    """An enrolled device; `directory` holds the files that TLS wants to read by path."""

    directory: Path
    enrolment: Enrolment
    telemetry_key: bytes
    signer: dsse.Signer
    """The device's own key: it proves who speaks, in reports and when a certificate is renewed."""
    on_token: bool
    """Whether that key is on a token, and TLS uses one of its own that each renewal replaces."""
    agreement: X25519PrivateKey | None
    """Opens keys of confidential releases; None if it enrolled before this key was kept."""

    @property
    def key_file(self) -> Path:
        """The private key of TLS, readable by its owner only."""
        return self.directory / (_TLS_KEY if self.on_token else _DEVICE_KEY)

    @property
    def certificate_file(self) -> Path:
        """The device's certificate."""
        return self.directory / "device.pem"

    @property
    def ca_file(self) -> Path:
        """The certificate authority that the invitation pinned."""
        return self.directory / "ca.pem"

    @property
    def root_file(self) -> Path:
        """The TUF root that the invitation pinned."""
        return self.directory / "root.json"


def new_key() -> ec.EllipticCurvePrivateKey:
    """A new P-256 key, the kind that TPMs hold."""
    return ec.generate_private_key(ec.SECP256R1())


def save_identity(
    link: Path,
    enrolment: Enrolment,
    *,
    key: ec.EllipticCurvePrivateKey,
    certificate_pem: str,
    ca_pem: str,
    root_json: bytes,
    telemetry_key: bytes,
    agreement: X25519PrivateKey,
    token: TokenKey | None = None,
) -> Identity:
    """Store an identity durably: after a power cut it is there in full or not at all.

    Args:
        link: The name under which it is found, a symbolic link beside the directory.
        enrolment: What is no secret.
        key: The private key of the certificate.
        certificate_pem: What the device connects with.
        ca_pem: The pinned authority.
        root_json: The pinned TUF root.
        telemetry_key: 32 bytes that seal telemetry.
        agreement: The key for which keys of confidential releases are wrapped.
        token: The device's own key, if it is not the one of the certificate.

    Raises:
        LamplighterError: DISK_FULL.
    """
    files = {
        (_TLS_KEY if token else _DEVICE_KEY): _private_pem(key),
        "device.pem": certificate_pem.encode(),
        "ca.pem": ca_pem.encode(),
        "root.json": root_json,
        "telemetry.key": telemetry_key,
        "agreement.key": agreement.private_bytes_raw(),
        "enrolment.json": msgspec.json.encode(enrolment),
    }
    if token is not None:
        held = _Held(uri=token.uri, public_pem=dsse.public_pem(token.public))
        files[_HELD] = msgspec.json.encode(held)
    _replace(link, files)
    return load_identity(link)


def replace_certificate(
    link: Path, certificate_pem: str, tls_key: ec.EllipticCurvePrivateKey | None = None
) -> None:
    """Store a renewed certificate; after a power cut the identity is the old one or the new one.

    Args:
        link: As in save_identity.
        certificate_pem: The new certificate.
        tls_key: The new key that it is for; None if it is for the device's own.

    Raises:
        LamplighterError: DISK_FULL.
    """
    files = {path.name: path.read_bytes() for path in link.iterdir() if path.suffix != ".new"}
    renewed = {"device.pem": certificate_pem.encode()}
    if tls_key is not None:
        renewed[_TLS_KEY] = _private_pem(tls_key)
        files.pop(_NEXT_TLS_KEY, None)
    _replace(link, {**files, **renewed})


def next_tls_key(link: Path) -> ec.EllipticCurvePrivateKey:
    """The key to be certified next: the same until replace_certificate, for replies get lost.

    Raises:
        LamplighterError: DISK_FULL.
    """
    path = link / _NEXT_TLS_KEY
    with contextlib.suppress(FileNotFoundError, ValueError, UnsupportedAlgorithm):
        return load_private(path)
    key = new_key()
    replace(path, _private_pem(key), 0o600)
    return key


def forget_next_tls_key(link: Path) -> None:
    """Make another: this one will not be certified."""
    (link / _NEXT_TLS_KEY).unlink(missing_ok=True)


def _replace(link: Path, files: Mapping[str, bytes]) -> None:
    """Make a folder, let the link point to it, and remove every other one: secrets lie in them."""
    directory = link.with_name(f"{link.name}-{os.urandom(4).hex()}")
    try:
        with disk_errors():
            directory.mkdir(parents=True, mode=0o700)
            for name, raw in files.items():
                write_synced(directory / name, raw, 0o600 if name in SECRET else 0o644)
            fsync_directory(directory)
            point(link, directory.name)
    finally:
        current = link.resolve()
        for other in link.parent.glob(f"{link.name}-*"):
            if other.resolve() != current:
                with disk_errors():
                    shutil.rmtree(other)


def load_identity(link: Path) -> Identity:
    """Read the identity.

    Raises:
        LamplighterError: NOT_ENROLLED, or STORE_CORRUPT if a file of it is missing or damaged.
    """
    if not link.exists():
        raise LamplighterError("NOT_ENROLLED", f"There is no identity at {link}.")
    try:
        enrolment = msgspec.json.decode((link / "enrolment.json").read_bytes(), type=Enrolment)
        token = _load_token(link / _HELD)
        return Identity(
            directory=link,
            enrolment=enrolment,
            telemetry_key=(link / "telemetry.key").read_bytes(),
            signer=token or dsse.SoftwareSigner(load_private(link / _DEVICE_KEY)),
            on_token=token is not None,
            agreement=_load_agreement(link / "agreement.key"),
        )
    except (OSError, ValueError, UnsupportedAlgorithm, RecursionError) as error:
        raise LamplighterError("STORE_CORRUPT", f"The identity is damaged: {error}.") from error


def _load_token(path: Path) -> TokenKey | None:
    if not path.exists():
        return None
    held = msgspec.json.decode(path.read_bytes(), type=_Held)
    try:
        return TokenKey(held.uri, dsse.load_public(held.public_pem))
    except LamplighterError as error:
        raise ValueError(error.sentence) from error


def load_private(path: Path) -> ec.EllipticCurvePrivateKey:
    """Read a private key of the identity.

    Raises:
        OSError: It cannot be read.
        ValueError: It is damaged.
    """
    key = serialization.load_pem_private_key(path.read_bytes(), password=None)
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise ValueError("the key is not on a curve")  # noqa: TRY004 - damaged data
    return key


def _private_pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )


def _load_agreement(path: Path) -> X25519PrivateKey | None:
    return X25519PrivateKey.from_private_bytes(path.read_bytes()) if path.exists() else None
