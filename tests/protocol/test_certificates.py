from datetime import datetime, timedelta, timezone

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtensionOID, NameOID

from lamplighter_protocol.certificates import name_of_key, speaks_for

TLS, OWN, OTHER = (ec.generate_private_key(ec.SECP256R1()) for _ in range(3))
NOW = datetime(2026, 1, 1, tzinfo=timezone.utc)


def certificate(*extensions: x509.ExtensionType) -> x509.Certificate:
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "pi-1")])
    builder = x509.CertificateBuilder(name, name, TLS.public_key(), 1, NOW, NOW + timedelta(1))
    for extension in extensions:
        builder = builder.add_extension(extension, critical=False)
    return builder.sign(TLS, hashes.SHA256())


def naming(*names: x509.GeneralName) -> x509.Certificate:
    return certificate(x509.SubjectAlternativeName(names))


PLAIN = x509.UniformResourceIdentifier("https://example.org")


@pytest.mark.parametrize(
    "issued", [certificate(), naming(x509.DNSName("pi-1"), PLAIN)], ids=["bare", "with names"]
)
def test_a_certificate_that_names_no_key_speaks_for_its_own(issued: x509.Certificate) -> None:
    assert speaks_for(issued, TLS.public_key())
    assert not speaks_for(issued, OWN.public_key())


def test_a_certificate_that_names_a_key_speaks_for_that_one_only() -> None:
    issued = naming(PLAIN, name_of_key(OWN.public_key()))
    assert speaks_for(issued, OWN.public_key())
    assert not speaks_for(issued, TLS.public_key())
    assert not speaks_for(issued, OTHER.public_key())


@pytest.mark.parametrize(
    "issued",
    [
        naming(name_of_key(OWN.public_key()), name_of_key(OTHER.public_key())),
        naming(x509.UniformResourceIdentifier("urn:lamplighter:device-key:")),
        certificate(x509.UnrecognizedExtension(ExtensionOID.SUBJECT_ALTERNATIVE_NAME, b"\xff\xff")),
        certificate(
            x509.UnrecognizedExtension(
                ExtensionOID.SUBJECT_ALTERNATIVE_NAME,
                b"\x30\x02\xa3\x00",  # x400Address
            )
        ),
    ],
    ids=["two", "none", "malformed", "unknown kind"],
)
def test_what_is_not_clear_speaks_for_nobody(issued: x509.Certificate) -> None:
    for key in (TLS, OWN, OTHER):
        assert not speaks_for(issued, key.public_key())
