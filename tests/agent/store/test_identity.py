import resource
import stat
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from lamplighter_agent.store.identity import (
    Enrolment,
    Identity,
    forget_next_tls_key,
    load_identity,
    new_key,
    next_tls_key,
    replace_certificate,
    save_identity,
)
from lamplighter_protocol.errors import LamplighterError

ENROLMENT = Enrolment(
    device="pi-1", fleet="main", url="https://x", broker_host="127.0.0.1", broker_port=8883
)


def save(link: Path, telemetry_key: bytes = b"k" * 32) -> Identity:
    return save_identity(
        link,
        ENROLMENT,
        key=new_key(),
        certificate_pem="certificate",
        ca_pem="ca",
        root_json=b"{}",
        telemetry_key=telemetry_key,
        agreement=X25519PrivateKey.generate(),
    )


def test_an_identity_is_read_as_it_was_saved_and_secrets_are_the_owners(tmp_path: Path) -> None:
    saved = save(tmp_path / "identity")
    loaded = load_identity(tmp_path / "identity")
    assert (loaded.enrolment, loaded.telemetry_key) == (ENROLMENT, b"k" * 32)
    assert loaded.signer.key_id == saved.signer.key_id
    assert loaded.root_file.read_bytes() == b"{}"
    assert loaded.agreement is not None
    assert saved.agreement is not None
    assert loaded.agreement.private_bytes_raw() == saved.agreement.private_bytes_raw()
    for secret in (
        loaded.key_file,
        loaded.directory / "telemetry.key",
        loaded.directory / "agreement.key",
    ):
        assert stat.S_IMODE(secret.stat().st_mode) == 0o600


def test_a_new_identity_takes_the_place_of_the_old_one(tmp_path: Path) -> None:
    save(tmp_path / "identity")
    save(tmp_path / "identity", b"n" * 32)
    assert load_identity(tmp_path / "identity").telemetry_key == b"n" * 32
    assert len(list(tmp_path.iterdir())) == 2


def test_an_identity_from_before_agreement_keys_were_kept_still_serves(tmp_path: Path) -> None:
    identity = save(tmp_path / "identity")
    key_file = identity.directory / "agreement.key"
    key_file.write_bytes(b"half")
    with pytest.raises(LamplighterError, match="STORE_CORRUPT"):
        load_identity(tmp_path / "identity")
    key_file.unlink()
    assert load_identity(tmp_path / "identity").agreement is None


def test_a_renewed_certificate_changes_nothing_else(tmp_path: Path) -> None:
    identity = save(tmp_path / "identity")
    before = {path.name: path.read_bytes() for path in identity.directory.iterdir()}
    replace_certificate(identity.directory, "renewed")
    after = {path.name: path.read_bytes() for path in identity.directory.iterdir()}
    assert after == {**before, "device.pem": b"renewed"}
    assert stat.S_IMODE(identity.key_file.stat().st_mode) == 0o600
    assert len(list(tmp_path.iterdir())) == 2


def test_without_a_token_the_files_are_those_of_every_earlier_version(tmp_path: Path) -> None:
    identity = save(tmp_path / "identity")
    assert {path.name for path in identity.directory.iterdir()} == {
        *("agreement.key", "ca.pem", "device-key.pem", "device.pem"),
        *("enrolment.json", "root.json", "telemetry.key"),
    }
    assert not identity.on_token


def test_the_next_tls_key_stays_until_it_is_certified(tmp_path: Path) -> None:
    link = save(tmp_path / "identity").directory
    key = next_tls_key(link)
    assert next_tls_key(link).public_key() == key.public_key()
    path = link / "tls-key-next.pem"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    path.with_name(path.name + ".new").write_bytes(b"half a key, by a power cut")
    replace_certificate(link, "renewed", key)
    assert (link / "tls-key.pem").exists()
    assert not list(link.glob("*next*"))
    assert next_tls_key(link).public_key() != key.public_key()
    path.write_bytes(b"half")
    before = next_tls_key(link).public_key()
    forget_next_tls_key(link)
    assert next_tls_key(link).public_key() != before


def test_a_full_disk_leaves_the_identity_as_it_was_and_no_secrets_beside_it(tmp_path: Path) -> None:
    identity = save(tmp_path / "identity")
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (300, limits[1]))
    try:
        with pytest.raises(LamplighterError, match="DISK_FULL"):
            replace_certificate(identity.directory, "renewed " * 100)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert load_identity(identity.directory).certificate_file.read_text() == "certificate"
    assert len(list(tmp_path.iterdir())) == 2


def test_no_identity_and_half_an_identity_are_expected_errors(tmp_path: Path) -> None:
    with pytest.raises(LamplighterError, match="NOT_ENROLLED"):
        load_identity(tmp_path / "identity")
    identity = save(tmp_path / "identity")
    identity.key_file.write_text("garbage")
    with pytest.raises(LamplighterError, match="STORE_CORRUPT"):
        load_identity(tmp_path / "identity")
    identity.key_file.unlink()
    with pytest.raises(LamplighterError, match="STORE_CORRUPT"):
        load_identity(tmp_path / "identity")


def test_a_key_on_an_unknown_curve_is_damage(tmp_path: Path) -> None:
    identity = save(tmp_path / "identity")
    pem = identity.key_file.read_text().replace("MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEH", "{}")
    curve = "MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AweH"
    identity.key_file.write_text(pem.format(curve))
    with pytest.raises(LamplighterError, match="STORE_CORRUPT"):
        load_identity(tmp_path / "identity")
