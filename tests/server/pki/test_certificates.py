import base64
import ssl
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from lamplighter_protocol import dsse
from lamplighter_protocol.errors import LamplighterError
from lamplighter_protocol.names import NAME_PATTERN
from lamplighter_server.pki.authority import INGEST, RELAY, Authority
from lamplighter_server.pki.certificates import read_request

NOW = datetime(2026, 5, 1, 12, tzinfo=UTC)
Key = ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey | rsa.RSAPrivateKey


def request_pem(key: Key, *names: str) -> str:
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name) for name in names])
    builder = x509.CertificateSigningRequestBuilder().subject_name(subject)
    builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
    algorithm = None if isinstance(key, ed25519.Ed25519PrivateKey) else hashes.SHA256()
    return builder.sign(key, algorithm).public_bytes(serialization.Encoding.PEM).decode()


def test_the_authority_is_made_once_and_private(tmp_path: Path) -> None:
    first = Authority.load_or_create(tmp_path / "pki", NOW)
    first.issue_own("lamps.example", NOW)
    assert Authority.load_or_create(tmp_path / "pki", NOW).ca_pem == first.ca_pem
    assert (tmp_path / "pki").stat().st_mode & 0o777 == 0o700
    assert {path.stat().st_mode & 0o777 for path in (tmp_path / "pki").iterdir()} == {0o600}


@pytest.mark.parametrize(
    "key", [ec.generate_private_key(ec.SECP256R1()), ed25519.Ed25519PrivateKey.generate()]
)
def test_only_key_and_name_of_a_request_are_taken(tmp_path: Path, key: Key) -> None:
    authority = Authority.load_or_create(tmp_path, NOW)
    public = read_request(request_pem(key, "cam-1"), "cam-1")
    certificate = authority.issue_device("cam-1", public, NOW, timedelta(days=30))
    certificate.verify_directly_issued_by(authority.certificate)
    assert certificate.not_valid_after_utc - NOW == timedelta(days=30)
    extensions = certificate.extensions
    assert not extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    usage = extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    assert list(usage) == [ExtendedKeyUsageOID.CLIENT_AUTH]


@pytest.mark.parametrize(
    ("names", "code"),
    [(("cam-2",), "NAME_INVALID"), ((), "NAME_INVALID"), (("cam-1", "cam-2"), "NAME_INVALID")],
)
def test_a_request_for_another_name_is_refused(names: tuple[str, ...], code: str) -> None:
    with pytest.raises(LamplighterError, match=code):
        read_request(request_pem(ec.generate_private_key(ec.SECP256R1()), *names), "cam-1")


@pytest.mark.parametrize(
    "key",
    [rsa.generate_private_key(65537, 2048), ec.generate_private_key(ec.SECP384R1())],
)
def test_a_request_with_another_kind_of_key_is_refused(key: Key) -> None:
    with pytest.raises(LamplighterError, match="MESSAGE_MALFORMED"):
        read_request(request_pem(key, "cam-1"), "cam-1")


def test_a_request_that_was_altered_is_refused() -> None:
    pem = request_pem(ed25519.Ed25519PrivateKey.generate(), "cam-1")
    der = bytearray(x509.load_pem_x509_csr(pem.encode()).public_bytes(serialization.Encoding.DER))
    der[-1] ^= 1
    altered = ssl.DER_cert_to_PEM_cert(bytes(der)).replace("CERTIFICATE", "CERTIFICATE REQUEST")
    for text in (altered, "", "-----BEGIN CERTIFICATE REQUEST-----\n\n"):
        with pytest.raises(LamplighterError, match="MESSAGE_MALFORMED"):
            read_request(text, "cam-1")


def test_no_device_can_be_called_like_the_servers_own_clients() -> None:
    import re

    assert not any(re.fullmatch(NAME_PATTERN, name) for name in (RELAY, INGEST))


def test_the_servers_certificate_is_good_for_its_names_only(tmp_path: Path) -> None:
    authority = Authority.load_or_create(tmp_path, NOW)
    authority.issue_own("lamps.example", NOW)
    leaf = x509.load_pem_x509_certificate(authority.server_paths[0].read_bytes())
    names = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert [str(address) for address in names.get_values_for_type(x509.IPAddress)] == ["127.0.0.1"]
    assert names.get_values_for_type(x509.DNSName) == ["localhost", "lamps.example"]
    assert dsse.key_id(leaf.public_key()) != dsse.key_id(authority.key.public_key())  # type: ignore[arg-type]


def test_a_request_or_certificate_of_an_unknown_version_is_malformed() -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    der = x509.load_pem_x509_csr(request_pem(key, "pi-1").encode()).public_bytes(
        serialization.Encoding.DER
    )
    at = der.index(b"\x02\x01\x00")
    changed = base64.b64encode(der[: at + 2] + b"\x04" + der[at + 3 :]).decode()
    pem = f"-----BEGIN CERTIFICATE REQUEST-----\n{changed}\n-----END CERTIFICATE REQUEST-----\n"
    with pytest.raises(LamplighterError, match="MESSAGE_MALFORMED"):
        read_request(pem, "pi-1")
