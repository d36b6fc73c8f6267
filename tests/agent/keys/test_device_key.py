"""What every device key must do, wherever it lies."""

import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from lamplighter_agent.keys.token_key import TokenKey
from lamplighter_agent.store.identity import (
    Enrolment,
    Identity,
    load_identity,
    new_key,
    replace_certificate,
    save_identity,
)
from lamplighter_protocol import dsse
from lamplighter_protocol.errors import LamplighterError

ENROLMENT = Enrolment(
    device="pi-1", fleet="main", url="https://x", broker_host="127.0.0.1", broker_port=8883
)
KIND = "application/example"


@pytest.fixture(params=["file", "token"])
def identity(request: pytest.FixtureRequest, tmp_path: Path) -> Identity:
    token = None
    if request.param == "token":
        token = TokenKey.provide(request.getfixturevalue("softhsm").uri())
    return save_identity(
        tmp_path / "identity",
        ENROLMENT,
        key=new_key(),
        certificate_pem="certificate",
        ca_pem="ca",
        root_json=b"{}",
        telemetry_key=b"k" * 32,
        agreement=X25519PrivateKey.generate(),
        token=token,
    )


@pytest.mark.parametrize("payload", [b"", b"x", b"\x00" * 100_000], ids=len)
def test_only_its_public_key_verifies_what_it_signs(identity: Identity, payload: bytes) -> None:
    key, other = identity.signer, new_key().public_key()
    raw = dsse.sign(KIND, payload, key)
    assert dsse.verify(raw, KIND, {key.key_id: key.public}) == payload
    with pytest.raises(LamplighterError, match="SIGNATURE_INVALID"):
        dsse.verify(raw, KIND, {key.key_id: other})


def test_it_is_known_by_its_public_key(identity: Identity) -> None:
    key = identity.signer
    assert key.key_id == dsse.key_id(key.public)
    assert dsse.load_public(dsse.public_pem(key.public)) == key.public


def test_it_is_the_same_after_a_restart_and_after_a_renewal(identity: Identity) -> None:
    replace_certificate(identity.directory, "renewed", new_key() if identity.on_token else None)
    again = load_identity(identity.directory)
    assert again.on_token == identity.on_token
    assert again.signer.public == identity.signer.public
    raw = dsse.sign(KIND, b"x", again.signer)
    assert dsse.verify(raw, KIND, {identity.signer.key_id: identity.signer.public}) == b"x"


def test_threads_may_share_it(identity: Identity) -> None:
    key = identity.signer

    def sign(number: int) -> bytes:
        raw = dsse.sign(KIND, b"%d" % number, key)
        return dsse.verify(raw, KIND, {key.key_id: key.public})

    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(sign, range(8))) == [b"%d" % number for number in range(8)]


def test_a_damaged_note_of_it_is_damage(identity: Identity) -> None:
    [note] = identity.directory.glob("device-key.*")
    for raw in (b"", b"{}", note.read_bytes()[:-20], b'{"uri": "pkcs11:", "public_pem": ""}'):
        note.write_bytes(raw)
        with pytest.raises(LamplighterError, match="STORE_CORRUPT"):
            load_identity(identity.directory)


def test_on_a_token_no_file_holds_it_and_tls_has_another(identity: Identity) -> None:
    private = {path for path in identity.directory.iterdir() if b"PRIVATE" in path.read_bytes()}
    assert private == {identity.key_file}
    assert stat.S_IMODE(identity.key_file.stat().st_mode) == 0o600
    held = serialization.load_pem_private_key(identity.key_file.read_bytes(), None)
    assert (held.public_key() != identity.signer.public) == identity.on_token
