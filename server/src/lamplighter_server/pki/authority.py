"""Our own certificate authority and what it has issued to this server."""

import ssl
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from lamplighter_protocol import dsse
from lamplighter_protocol.canonical import sha256
from lamplighter_protocol.renewal import Validity
from lamplighter_server.files import write_durably
from lamplighter_server.pki.certificates import (
    LEAF_LIFETIME,
    build_authority,
    build_leaf,
)
from lamplighter_server.pki.revocation import Revoked, build_list, is_current

#: The server's own clients of the broker. No device can be called so: names have no dots.
RELAY: Final = "lamplighter.relay"
INGEST: Final = "lamplighter.ingest"
SERVER: Final = "server"
#: Long enough for one connection.
BRIEF: Final = timedelta(minutes=5)


@dataclass(frozen=True)
class Authority:
    """Issues certificates; its files lie in one folder that only the server reads."""

    folder: Path
    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey
    _in_use: dict[tuple[str, bool], ssl.SSLContext] = field(default_factory=dict)
    """What shows the server's own leaves, by name and whether a certificate is asked for; a fresh
    leaf is loaded into it."""

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
        return self._paths(SERVER)

    @property
    def revoked_path(self) -> Path:
        """The list of revoked certificates, PEM."""
        return self.folder / "revoked.pem"

    def _paths(self, name: str) -> tuple[Path, Path]:
        return self.folder / f"{name}.pem", self.folder / f"{name}.key"

    def issue_own(self, public_host: str, now_utc: datetime) -> None:
        """Make fresh leaves for this server and show them from now on."""
        hosts = tuple(dict.fromkeys(("127.0.0.1", "localhost", public_host)))
        for name, leaf_hosts in ((SERVER, hosts), (RELAY, ()), (INGEST, ())):
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
            for (shown, _), tls in self._in_use.items():
                if shown == name:
                    tls.load_cert_chain(certificate_path, key_path)

    def is_own_due(self, now_utc: datetime) -> bool:
        """Whether this server's leaves have to be made anew."""
        certificate_path, _ = self.server_paths
        return validity(x509.load_pem_x509_certificate(certificate_path.read_bytes())).is_due(
            now_utc
        )

    def publish_revoked(self, revoked: Iterable[Revoked], now_utc: datetime) -> bool:
        """Sign the list of revoked certificates unless the published one still serves.

        Returns:
            Whether there is a new list.
        """
        items = list(revoked)
        path = self.revoked_path
        if path.exists() and is_current(path.read_bytes(), items, now_utc):
            return False
        write_durably(path, build_list(self.certificate, self.key, items, now_utc))
        return True

    def issue_device(
        self,
        device: str,
        public_key: dsse.PublicKey,
        now_utc: datetime,
        lifetime: timedelta,
        *,
        device_key: dsse.PublicKey | None = None,
    ) -> x509.Certificate:
        """A client certificate whose common name is the device's id, and who signs for it."""
        return build_leaf(
            self.certificate,
            self.key,
            common_name=device,
            public_key=public_key,
            now_utc=now_utc,
            lifetime=lifetime,
            device_key=device_key if device_key != public_key else None,
        )

    def server_tls(self, *, asks: bool = False) -> ssl.SSLContext:
        """How a door shows itself, with fresh leaves as they come.

        Args:
            asks: Whether clients may show a certificate, which must be ours then.
        """
        if (SERVER, asks) not in self._in_use:
            tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            tls.load_cert_chain(*self.server_paths)
            if asks:
                tls.load_verify_locations(self.ca_path)
                tls.verify_mode = ssl.CERT_OPTIONAL  # a board that enrols or renews has none
            self._in_use[SERVER, asks] = tls
        return self._in_use[SERVER, asks]

    def client_tls(self, name: str) -> ssl.SSLContext:
        """How one of the server's own identities connects to the broker, as `server_tls`."""
        if (name, True) not in self._in_use:
            tls = ssl.create_default_context(cafile=str(self.ca_path))
            tls.load_cert_chain(*self._paths(name))
            self._in_use[name, True] = tls
        return self._in_use[name, True]

    def impersonate(self, device: str, now_utc: datetime) -> ssl.SSLContext:
        """How the server connects in the place of a device, once, to end its session."""
        key = ec.generate_private_key(ec.SECP256R1())
        leaf = self.issue_device(device, key.public_key(), now_utc, BRIEF)
        tls = ssl.create_default_context(cafile=str(self.ca_path))
        with tempfile.TemporaryDirectory(dir=self.folder) as folder:  # the ssl module wants a file
            path = Path(folder) / "leaf.pem"
            path.write_bytes(_private_pem(key) + _pem(leaf))
            tls.load_cert_chain(path)
        return tls


def validity(certificate: x509.Certificate) -> Validity:
    """From when to when a certificate is valid."""
    return Validity(
        from_utc=certificate.not_valid_before_utc, until_utc=certificate.not_valid_after_utc
    )


def _pem(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(serialization.Encoding.PEM)


def _private_pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
