"""Our own certificate authority and what it has issued to this server."""

import ssl
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from lamplighter_protocol import dsse
from lamplighter_protocol.canonical import sha256
from lamplighter_server.files import write_durably
from lamplighter_server.pki.certificates import (
    DEVICE_LIFETIME,
    LEAF_LIFETIME,
    build_authority,
    build_leaf,
)

#: The server's own clients of the broker. No device can be called so: names have no dots.
RELAY: Final = "lamplighter.relay"
INGEST: Final = "lamplighter.ingest"
_SERVER: Final = "server"


@dataclass(frozen=True)
class Authority:
    """Issues certificates; its files lie in one folder that only the server reads."""

    folder: Path
    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey

    @classmethod
    def load_or_create(cls, folder: Path, now_utc: datetime) -> "Authority":
        """Read the authority, or make it at the first start."""
        certificate_path, key_path = folder / "ca.pem", folder / "ca.key"
        if not certificate_path.exists():
            key = ec.generate_private_key(ec.SECP256R1())
            write_durably(key_path, _private_pem(key))
            write_durably(certificate_path, _pem(build_authority(key, now_utc)))
        loaded = serialization.load_pem_private_key(key_path.read_bytes(), password=None)
        if not isinstance(loaded, ec.EllipticCurvePrivateKey):
            raise TypeError(f"{key_path} holds no P-256 key")
        return cls(folder, x509.load_pem_x509_certificate(certificate_path.read_bytes()), loaded)

    @property
    def ca_path(self) -> Path:
        """The authority's certificate, PEM."""
        return self.folder / "ca.pem"

    @property
    def ca_pem(self) -> str:
        """The authority's certificate, PEM."""
        return _pem(self.certificate).decode()

    @property
    def ca_sha256(self) -> str:
        """What an invitation pins: the digest of the certificate in DER."""
        return sha256(self.certificate.public_bytes(serialization.Encoding.DER))

    @property
    def server_paths(self) -> tuple[Path, Path]:
        """Certificate and key of the devices' door and of the broker."""
        return self._paths(_SERVER)

    def _paths(self, name: str) -> tuple[Path, Path]:
        return self.folder / f"{name}.pem", self.folder / f"{name}.key"

    def issue_own(self, public_host: str, now_utc: datetime) -> None:
        """Make fresh leaves for this server; done at every start, so they never run out."""
        hosts = tuple(dict.fromkeys(("127.0.0.1", "localhost", public_host)))
        for name, leaf_hosts in ((_SERVER, hosts), (RELAY, ()), (INGEST, ())):
            key = ec.generate_private_key(ec.SECP256R1())
            leaf = build_leaf(
                self.certificate,
                self.key,
                common_name=name,
                public_key=key.public_key(),
                now_utc=now_utc,
                lifetime=LEAF_LIFETIME,
                hosts=leaf_hosts,
            )
            certificate_path, key_path = self._paths(name)
            write_durably(key_path, _private_pem(key))
            write_durably(certificate_path, _pem(leaf))

    def issue_device(
        self, device: str, public_key: dsse.PublicKey, now_utc: datetime
    ) -> x509.Certificate:
        """A client certificate whose common name is the device's id."""
        return build_leaf(
            self.certificate,
            self.key,
            common_name=device,
            public_key=public_key,
            now_utc=now_utc,
            lifetime=DEVICE_LIFETIME,
        )

    def client_tls(self, name: str) -> ssl.SSLContext:
        """How one of the server's own identities connects to the broker."""
        tls = ssl.create_default_context(cafile=str(self.ca_path))
        tls.load_cert_chain(*self._paths(name))
        return tls


def _pem(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(serialization.Encoding.PEM)


def _private_pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
