"""Offline keys on a real PKCS#11 token (SoftHSM2): they never leave it."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tests.server.publishing.conftest import EVIDENCE, Device, Person, make_bundle
from tests.softhsm import MODULE, PIN, SoftHsm

from lamplighter_protocol.errors import LamplighterError
from lamplighter_protocol.names import manifest_target
from lamplighter_server.cli.api import Api
from lamplighter_server.publishing.client import conclude, propose_release
from lamplighter_server.publishing.holder import Holder
from lamplighter_server.publishing.options import Asker
from lamplighter_server.publishing.signers import import_key, open_signer

TOKEN_LABEL = "lamplighter"
URI = f"hsm:{{}}?label={TOKEN_LABEL}"


@pytest.fixture
def token(softhsm: SoftHsm, monkeypatch: pytest.MonkeyPatch) -> Iterator[SoftHsm]:
    """A token with two keys, by number."""
    softhsm.make_key("root", number=1)
    softhsm.make_key("targets", number=2)
    monkeypatch.setenv("PYKCS11LIB", MODULE)
    monkeypatch.setenv("LAMPLIGHTER_PIN", PIN)
    yield softhsm
    softhsm.close()


@pytest.fixture
def alice(person: Callable[[str], Person], token: SoftHsm) -> Person:
    made = person("alice")
    made.run("init", "--root-key", URI.format(1), "--targets-key", URI.format(2))
    return made


def publish(api: Api, alice: Person, release: int) -> None:
    holder = Holder(alice.folder)
    proposal = propose_release(api, holder, make_bundle(release), EVIDENCE)
    assert proposal is not None
    conclude(api, holder, proposal, Asker())


def test_both_offline_roles_are_signed_on_the_token_and_devices_accept(
    alice: Person, api: Api, make_device: Callable[[], Device]
) -> None:
    roles = alice.status()
    for role in ("root", "targets"):
        assert roles[role]["threshold"] == 1
        assert roles[role]["here"] == roles[role]["keyids"]
        assert len(roles[role]["keyids"]) == 1
    assert not list(alice.folder.glob("*.pem")), "no private key is in a file"
    publish(api, alice, 1)
    assert make_device().knows(manifest_target("digits", 1))


def test_a_key_on_the_token_is_replaced_by_another_on_it(
    alice: Person, api: Api, token: SoftHsm, make_device: Callable[[], Device]
) -> None:
    device = make_device()
    device.refresh()
    token.make_key("newer", number=3)
    before = alice.status()
    alice.run("rotate", "targets", "--add", URI.format(3), "--remove", *before["targets"]["here"])
    alice.run("rotate", "root")  # to a key in a file, signed by the token's last word
    after = alice.status()
    for role in ("root", "targets"):
        assert not set(after[role]["keyids"]) & set(before[role]["keyids"])
    publish(api, alice, 1)
    assert device.knows(manifest_target("digits", 1))


def test_a_holder_without_a_network_signs_a_case_with_a_token(
    person: Callable[[str], Person], token: SoftHsm, tmp_path: Path
) -> None:
    alice, bob = person("alice"), Person(tmp_path / "bob", "http://127.0.0.1:9")
    stick = str(tmp_path / "stick.case")
    bob.run("create", str(tmp_path / "bob.pub"), "--uri", URI.format(1))
    plan = ["--root-threshold", "2", "--root-key", str(tmp_path / "bob.pub")]
    assert alice.refused("init", *plan) == "SIGNATURES_MISSING"
    alice.run("export", stick)
    assert "Complete" in bob.run("sign", stick).stdout
    alice.run("import", stick)
    assert alice.status()["root"]["threshold"] == 2


def test_a_wrong_pin_and_a_token_that_is_away_sign_nothing(
    alice: Person, token: SoftHsm, monkeypatch: pytest.MonkeyPatch
) -> None:
    version = alice.status()["root"]["version"]
    monkeypatch.setenv("LAMPLIGHTER_PIN", "0815-wrong")
    assert alice.refused("renew", "root") == "TOKEN_PIN_WRONG"
    monkeypatch.setenv("LAMPLIGHTER_PIN", PIN)
    token.unplug()
    token.close()
    assert alice.refused("renew", "root") == "SIGNER_UNAVAILABLE"
    assert alice.status()["root"]["version"] == version


def test_what_is_not_on_the_token_is_said(token: SoftHsm) -> None:
    token.make_rsa_key("rsa")
    for uri, said in (
        (URI.format(9), "could not find ECDSA key"),
        ("hsm:1?label=other", "No PKCS#11 token found for label other"),
    ):
        with pytest.raises(LamplighterError, match="SIGNER_UNAVAILABLE") as caught:
            import_key(uri, Asker())
        assert said in caught.value.sentence


def test_p384_signs_too_and_another_key_is_not_believed(token: SoftHsm) -> None:
    token.make_key("wide", number=4, curve="secp384r1")
    uri, key = import_key(URI.format(4), Asker())
    key.verify_signature(open_signer(uri, key, Asker()).sign(b"x"), b"x")
    assert key.scheme == "ecdsa-sha2-nistp384"
