"""A certificate authority and a broker with TLS, for tests of the agent."""

import datetime as dt
import ipaddress
import socket
import subprocess
import time
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from lamplighter_protocol.certificates import name_of_key

NOW = dt.datetime.now(dt.timezone.utc)


class Authority:
    """A certificate authority in memory."""

    def __init__(self) -> None:
        self.key = ec.generate_private_key(ec.SECP256R1())
        self.name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Lamplighter CA")])
        self.certificate = self._build(self.name, self.key.public_key(), is_ca=True)

    def _build(
        self,
        subject: x509.Name,
        key: ec.EllipticCurvePublicKey,
        *,
        is_ca: bool,
        days: int = 1,
        names: ec.EllipticCurvePublicKey | None = None,
    ) -> x509.Certificate:
        sans: list[x509.GeneralName] = [x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]
        if names is not None:
            sans.append(name_of_key(names))
        return (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self.name)
            .public_key(key)
            .serial_number(x509.random_serial_number())
            .not_valid_before(NOW - dt.timedelta(days=10))
            .not_valid_after(NOW + dt.timedelta(days=days))
            .add_extension(x509.BasicConstraints(ca=is_ca, path_length=None), critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
            .add_extension(
                x509.AuthorityKeyIdentifier.from_issuer_public_key(self.key.public_key()),
                critical=False,
            )
            .add_extension(x509.SubjectAlternativeName(sans), critical=False)
            .sign(self.key, hashes.SHA256())
        )

    def issue(
        self,
        name: str,
        directory: Path,
        *,
        days: int = 1,
        key: ec.EllipticCurvePrivateKey | None = None,
        names: ec.EllipticCurvePublicKey | None = None,
    ) -> tuple[Path, Path]:
        key = key or ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        certificate = self._build(subject, key.public_key(), is_ca=False, days=days, names=names)
        paths = directory / f"{name}.pem", directory / f"{name}.key"
        paths[0].write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
        paths[1].write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM,
                serialization.PrivateFormat.PKCS8,
                serialization.NoEncryption(),
            )
        )
        return paths

    def save(self, directory: Path) -> Path:
        path = directory / "ca.pem"
        path.write_bytes(self.certificate.public_bytes(serialization.Encoding.PEM))
        return path


class TlsBroker:
    """A Mosquitto with TLS that wants a client certificate; can be stopped and started."""

    def __init__(self, program: str, directory: Path, port: int, *, server_days: int = 1) -> None:
        self.authority = Authority()
        self.ca = self.authority.save(directory)
        self.port = port
        certificate, key = self.authority.issue("broker", directory, days=server_days)
        self._command = [program, "-c", str(directory / "tls.conf")]
        (directory / "tls.conf").write_text(
            f"listener {port} 127.0.0.1\nuser root\nlog_type error\ncafile {self.ca}\n"
            f"certfile {certificate}\nkeyfile {key}\nrequire_certificate true\n"
            "use_identity_as_username true\nallow_anonymous false\n"
        )
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it and wait until it listens."""
        self._process = subprocess.Popen(self._command)
        wait_until_listening(self.port)

    def stop(self) -> None:
        if self._process is not None:
            self._process.terminate()
            self._process.wait()


def wait_until_listening(port: int) -> None:
    for _ in range(200):
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except ConnectionRefusedError:
            time.sleep(0.02)
        else:
            return
    raise AssertionError(f"nobody listens on port {port}")
