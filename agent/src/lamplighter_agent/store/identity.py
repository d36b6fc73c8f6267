"""Who the device is: its keys, its certificate and what it was enrolled with."""

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

from lamplighter_agent.durable import disk_errors, fsync_directory, point, write_synced
from lamplighter_protocol import dsse
from lamplighter_protocol.errors import LamplighterError
from lamplighter_protocol.names import Name

SECRET: Final = frozenset({"agreement.key", "device-key.pem", "telemetry.key"})


class Enrolment(msgspec.Struct, frozen=True, kw_only=True):
    """What was agreed at enrolment and is no secret."""

    device: Name
    fleet: Name
    url: str
    broker_host: str
    broker_port: int


@dataclass(frozen=True)
class Identity:
    """An enrolled device; `directory` holds the files that TLS wants to read by path."""

    directory: Path
    enrolment: Enrolment
    telemetry_key: bytes
    signer: dsse.Signer
    agreement: X25519PrivateKey | None
    """Opens keys of confidential releases; None if it enrolled before this key was kept."""

    @property
    def key_file(self) -> Path:
        """The device's private key, readable by its owner only."""
        return self.directory / "device-key.pem"

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
) -> Identity:
    """Store an identity durably: after a power cut it is there in full or not at all.

    Args:
        link: The name under which it is found, a symbolic link beside the directory.
        enrolment: What is no secret.
        key: The device's private key.
        certificate_pem: Its certificate.
        ca_pem: The pinned authority.
        root_json: The pinned TUF root.
        telemetry_key: 32 bytes that seal telemetry.
        agreement: The key for which keys of confidential releases are wrapped.

    Raises:
        LamplighterError: DISK_FULL.
    """
    files = {
        "device-key.pem": key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        ),
        "device.pem": certificate_pem.encode(),
        "ca.pem": ca_pem.encode(),
        "root.json": root_json,
        "telemetry.key": telemetry_key,
        "agreement.key": agreement.private_bytes_raw(),
        "enrolment.json": msgspec.json.encode(enrolment),
    }
    _replace(link, files)
    return load_identity(link)


def replace_certificate(link: Path, certificate_pem: str) -> None:
    """Store a renewed certificate; after a power cut the identity is the old one or the new one.

    Raises:
        LamplighterError: DISK_FULL.
    """
    files = {path.name: path.read_bytes() for path in link.iterdir()}
    _replace(link, {**files, "device.pem": certificate_pem.encode()})


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
        key = serialization.load_pem_private_key(
            (link / "device-key.pem").read_bytes(), password=None
        )
        if not isinstance(key, ec.EllipticCurvePrivateKey):
            raise ValueError("the key is not on a curve")  # noqa: TRY004 - damaged data
        return Identity(
            directory=link,
            enrolment=enrolment,
            telemetry_key=(link / "telemetry.key").read_bytes(),
            signer=dsse.SoftwareSigner(key),
            agreement=_load_agreement(link / "agreement.key"),
        )
    except (OSError, ValueError, UnsupportedAlgorithm, RecursionError) as error:
        raise LamplighterError("STORE_CORRUPT", f"The identity is damaged: {error}.") from error


def _load_agreement(path: Path) -> X25519PrivateKey | None:
    return X25519PrivateKey.from_private_bytes(path.read_bytes()) if path.exists() else None
