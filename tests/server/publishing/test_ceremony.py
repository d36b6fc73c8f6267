"""Thresholds: several holders, each on a machine of their own, most of them without a network."""

from collections.abc import Callable
from pathlib import Path

import pytest
from tests.server.publishing.conftest import EVIDENCE, PASSPHRASE, Device, Person, make_bundle

from lamplighter_protocol.errors import LamplighterError
from lamplighter_protocol.names import DIRECTOR_KEYS_TARGET, manifest_target
from lamplighter_server.cli.api import Api
from lamplighter_server.publishing.client import publish_release

NOWHERE = "http://127.0.0.1:9"
MakePerson = Callable[[str], Person]


@pytest.fixture
def alice(person: MakePerson) -> Person:
    return person("alice")


@pytest.fixture
def bob(tmp_path: Path) -> Person:
    return Person(tmp_path / "bob", NOWHERE)


@pytest.fixture
def stick(tmp_path: Path) -> str:
    return str(tmp_path / "stick.case")


def two_of_two(alice: Person, bob: Person, stick: str, tmp_path: Path) -> None:
    """Both must sign root and targets; Bob has no network."""
    bob.run("create", str(tmp_path / "bob.pub"))
    plan = ["--root-threshold", "2", "--targets-threshold", "2"]
    joined = ["--root-key", str(tmp_path / "bob.pub"), "--targets-key", str(tmp_path / "bob.pub")]
    assert alice.refused("init", *plan, *joined) == "SIGNATURES_MISSING"
    carry(alice, bob, stick)


def carry(alice: Person, bob: Person, stick: str) -> str:
    """Alice's case goes to Bob and comes back; returns what Bob was shown."""
    alice.run("export", stick)
    shown = bob.run("sign", stick)
    assert "Complete" in shown.stdout
    alice.run("import", stick)
    return shown.output


def test_two_holders_establish_trust_and_publish_together(
    alice: Person,
    bob: Person,
    stick: str,
    tmp_path: Path,
    api: Api,
    make_device: Callable[[], Device],
) -> None:
    two_of_two(alice, bob, stick, tmp_path)
    device = make_device()
    assert device.knows(DIRECTOR_KEYS_TARGET)
    for release in (1, 2):
        with pytest.raises(LamplighterError, match="SIGNATURES_MISSING"):
            publish_release(api, alice.folder, PASSPHRASE, make_bundle(release), EVIDENCE)
        assert not device.knows(manifest_target("digits", release))
        shown = carry(alice, bob, stick)
        assert f"+ target models/digits/{release}/bundle.json" in shown
        assert device.knows(manifest_target("digits", release))
    assert "director/keys.json" not in shown  # Bob has signed that before
    roles = alice.status()
    assert (roles["targets"]["threshold"], roles["targets"]["version"]) == (2, 3)
    assert len(roles["targets"]["here"]) == 1


def test_one_command_makes_two_of_three(alice: Person) -> None:
    shown = alice.run("init", "--root-threshold", "2", "--root-keys", "3").output
    roles = alice.status()
    assert (roles["root"]["threshold"], len(roles["root"]["keyids"])) == (2, 3)
    assert roles["root"]["here"] == roles["root"]["keyids"]
    assert (roles["targets"]["threshold"], len(roles["targets"]["keyids"])) == (1, 1)
    assert roles["snapshot"]["here"] == []
    for role in ("snapshot", "timestamp"):
        assert f"The server signs {role}s with {roles[role]['keyids'][0]}" in shown
    assert "The server signs assignments with" in shown


def test_what_waits_for_signatures_is_not_lost_and_can_be_given_up(
    alice: Person, bob: Person, stick: str, tmp_path: Path
) -> None:
    two_of_two(alice, bob, stick, tmp_path)
    assert alice.refused("export", stick) == "NOT_FOUND"
    assert alice.refused("renew") == "SIGNATURES_MISSING"
    assert alice.refused("policy", "digits") == "SIGNATURES_MISSING"
    alice.run("export", stick)
    alice.run("drop")
    assert alice.refused("drop") == "NOT_FOUND"
    assert alice.refused("policy", "digits", "--minimum-release", "2") == "SIGNATURES_MISSING"
    assert alice.refused("import", stick) == "CONFLICT"
    shown = carry(alice, bob, stick)
    assert "+ target models/digits/policy.json" in shown
    assert '"minimum_release": 2' in shown


def test_a_holder_without_a_key_for_it_signs_nothing(
    alice: Person, bob: Person, stick: str, tmp_path: Path
) -> None:
    two_of_two(alice, bob, stick, tmp_path)
    assert alice.refused("renew", "root") == "SIGNATURES_MISSING"
    alice.run("export", stick)
    before = Path(stick).read_bytes()
    carol = Person(tmp_path / "carol", NOWHERE)
    carol.run("create", str(tmp_path / "carol.pub"))
    assert carol.refused("sign", stick) == "KEY_MISSING"
    assert bob.refused("sign", stick, passphrase="wrong") == "PASSPHRASE_WRONG"
    assert Path(stick).read_bytes() == before


def test_an_older_case_is_refused_by_who_has_signed_a_newer_one(
    alice: Person, bob: Person, stick: str, tmp_path: Path
) -> None:
    two_of_two(alice, bob, stick, tmp_path)
    assert alice.refused("policy", "digits") == "SIGNATURES_MISSING"
    alice.run("export", str(tmp_path / "old.case"))
    carry(alice, bob, stick)
    assert alice.refused("renew", "targets") == "SIGNATURES_MISSING"
    carry(alice, bob, stick)
    assert alice.refused("policy", "digits", "--minimum-release", "3") == "SIGNATURES_MISSING"
    carry(alice, bob, stick)
    assert bob.refused("sign", str(tmp_path / "old.case")) == "TRUST_REFUSED"
    assert alice.refused("import", str(tmp_path / "old.case")) == "TRUST_REFUSED"
