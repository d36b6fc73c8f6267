import stat
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from securesystemslib.signer import CryptoSigner
from tests.server.publishing.conftest import PASSPHRASE, SECRETS

from lamplighter_protocol.errors import LamplighterError
from lamplighter_server.publishing.client import always
from lamplighter_server.publishing.keys import REGISTER, KeyRing, public_pem, read_key, read_public
from lamplighter_server.publishing.signers import import_key, open_signer


@pytest.fixture
def ring(folder: Path) -> KeyRing:
    made = KeyRing(folder)
    made.generate("root")
    made.open((), SECRETS)
    return made


def test_keys_are_encrypted_and_for_their_owner_only(folder: Path, ring: KeyRing) -> None:
    [path] = folder.glob("*.pem")
    assert b"ENCRYPTED" in path.read_bytes()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    [key] = KeyRing(folder).made_for("root")
    [signer] = KeyRing(folder).open({key.keyid}, SECRETS)
    assert signer.public_key == key


def test_a_folder_can_be_moved(folder: Path, ring: KeyRing, tmp_path: Path) -> None:
    folder.rename(tmp_path / "elsewhere")
    moved = KeyRing(tmp_path / "elsewhere")
    assert len(moved.open(moved.keyids, SECRETS)) == 1


@pytest.mark.parametrize("passphrase", ["wrong", ""])
def test_a_wrong_passphrase_opens_nothing_and_stores_nothing(
    folder: Path, ring: KeyRing, passphrase: str
) -> None:
    with pytest.raises(LamplighterError, match="PASSPHRASE_WRONG"):
        ring.open(ring.keyids, always(passphrase))
    ring.generate("targets")
    with pytest.raises(LamplighterError, match="PASSPHRASE_WRONG"):
        ring.open((), always(passphrase))
    assert len(list(folder.glob("*.pem"))) == 1


def test_keys_are_never_made_without_a_passphrase(tmp_path: Path) -> None:
    ring = KeyRing(tmp_path / "other")
    ring.generate("root")
    with pytest.raises(LamplighterError, match="PASSPHRASE_WRONG"):
        ring.open((), always(""))
    assert not (tmp_path / "other").exists()


def test_a_lost_file_and_a_damaged_register_say_so(folder: Path, ring: KeyRing) -> None:
    [path] = folder.glob("*.pem")
    path.unlink()
    with pytest.raises(LamplighterError, match="KEY_MISSING"):
        ring.open(ring.keyids, SECRETS)
    (folder / REGISTER).write_bytes(b"[{}]")
    with pytest.raises(LamplighterError, match="MESSAGE_MALFORMED"):
        _ = ring.keyids


def test_a_retired_key_is_gone(folder: Path, ring: KeyRing) -> None:
    ring.retire(ring.keyids)
    assert not ring.keyids
    assert not list(folder.glob("*.pem"))


def test_a_swapped_key_file_is_noticed(folder: Path, ring: KeyRing, tmp_path: Path) -> None:
    other = KeyRing(tmp_path / "other")
    other.generate("root")
    other.open((), SECRETS)
    [mine], [theirs] = folder.glob("*.pem"), (tmp_path / "other").glob("*.pem")
    theirs.replace(mine)
    with pytest.raises(LamplighterError, match="TRUST_REFUSED"):
        ring.open(ring.keyids, SECRETS)


def test_a_key_file_elsewhere_is_used_by_its_uri(folder: Path, tmp_path: Path) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    path = tmp_path / "own.pem"
    path.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.BestAvailableEncryption(PASSPHRASE.encode()),
        )
    )
    ring = KeyRing(folder)
    public = ring.adopt("root", f"file:{path}?encrypted=true", SECRETS)
    assert public.keytype == "ecdsa"
    [signer] = KeyRing(folder).open({public.keyid}, SECRETS)
    public.verify_signature(signer.sign(b"x"), b"x")
    ring.retire({public.keyid})
    assert path.exists()  # what was not made here is not deleted here


@pytest.mark.parametrize(
    ("uri", "said"),
    [
        ("gcpkms:projects/p", "securesystemslib[gcpkms]"),
        ("awskms:alias/root", "securesystemslib[awskms]"),
        ("azurekms:vault/key", "securesystemslib[azurekms]"),
        ("hv:root", "securesystemslib[vault]"),
        ("smoke:signals", "there are awskms, azurekms, file, gcpkms, hsm, hv"),
        ("hsm:nonsense", "cannot be used"),
    ],
)
def test_a_key_that_cannot_be_reached_says_what_to_install(uri: str, said: str) -> None:
    with pytest.raises(LamplighterError, match="SIGNER_UNAVAILABLE") as caught:
        import_key(uri, SECRETS)
    assert said in caught.value.sentence
    if "install" in said:
        with pytest.raises(LamplighterError, match="SIGNER_UNAVAILABLE"):
            open_signer(uri, CryptoSigner.generate_ecdsa().public_key, SECRETS)


@pytest.mark.parametrize(
    "signer", [CryptoSigner.generate_ed25519(), CryptoSigner.generate_ecdsa()], ids=["ed", "ec"]
)
def test_a_public_key_travels_as_pem(tmp_path: Path, signer: CryptoSigner) -> None:
    path = tmp_path / "key.pub"
    path.write_bytes(public_pem(signer.public_key))
    key = read_public(path)
    assert key == signer.public_key
    assert read_key({"keyid": key.keyid, **key.to_dict()}) == key
    with pytest.raises(LamplighterError, match="TRUST_REFUSED"):
        read_key({"keyid": "00" * 32, **key.to_dict()})
    path.write_bytes(b"nonsense")
    with pytest.raises(LamplighterError, match="MESSAGE_MALFORMED"):
        read_public(path)
    with pytest.raises(LamplighterError, match="NOT_FOUND"):
        read_public(tmp_path / "none.pub")
