"""A team publishes its own model with its own key, and nothing else."""

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest
from tests.server.publishing.conftest import (
    EVIDENCE,
    PASSPHRASE,
    SECRETS,
    Device,
    Person,
    make_bundle,
)

from lamplighter_protocol.errors import LamplighterError
from lamplighter_protocol.names import manifest_target
from lamplighter_server.cli.api import Api
from lamplighter_server.publishing.client import publish_release
from lamplighter_server.publishing.draft import Draft, raw_metadata
from lamplighter_server.publishing.exchange import fetch
from lamplighter_server.publishing.keys import KeyRing
from lamplighter_server.trust.roles import read_targets

ROLE = "model-digits"


@pytest.fixture
def alice(person: Callable[[str], Person]) -> Person:
    made = person("alice")
    made.run("init")
    return made


@pytest.fixture
def team(person: Callable[[str], Person], alice: Person, tmp_path: Path) -> Person:
    """A team that holds the model `digits`."""
    made = person("team")
    made.run("create", str(tmp_path / "team.pub"))
    assert f"+ delegation {ROLE}" in delegated(alice, made, tmp_path)
    return made


def delegated(alice: Person, team: Person, tmp_path: Path) -> str:
    """Delegate the model; returns what the team was shown."""
    stick, key = str(tmp_path / "delegation.case"), str(tmp_path / "team.pub")
    assert alice.refused("delegate", "digits", "--key", key) == "SIGNATURES_MISSING"
    alice.run("export", stick)
    shown = team.run("sign", stick).output
    alice.run("import", stick)
    return shown


def test_a_team_publishes_its_own_model(
    alice: Person, team: Person, api: Api, make_device: Callable[[], Device]
) -> None:
    device = make_device()
    publish_release(api, team.folder, PASSPHRASE, make_bundle(), EVIDENCE)
    assert device.knows(manifest_target("digits", 1))
    roles = team.status()
    assert (roles["targets"]["version"], roles[ROLE]["version"]) == (2, 2)
    assert roles[ROLE]["here"] == roles[ROLE]["keyids"]
    publish_release(api, alice.folder, PASSPHRASE, make_bundle(2), EVIDENCE)
    assert device.knows(manifest_target("digits", 2))


def test_a_team_can_sign_nothing_but_its_model(alice: Person, team: Person, api: Api) -> None:
    current = fetch(api).current
    keyids = team.status()[ROLE]["keyids"]
    [signer] = KeyRing(team.folder).open(keyids, SECRETS)
    draft = Draft(current, datetime.now(UTC))
    draft.release(ROLE, "letters", 1, b"{}", b"{}")
    metadata = read_targets(draft.done()[ROLE])
    metadata.sign(signer)
    with pytest.raises(LamplighterError, match="may not name"):
        api.post("/api/v1/trust/roles", {"roles": {ROLE: raw_metadata(metadata).decode()}})
    draft = Draft(current, datetime.now(UTC))
    draft.renew(["targets"])
    metadata = read_targets(draft.done()["targets"])
    metadata.sign(signer)
    with pytest.raises(LamplighterError, match="SIGNATURE_INVALID"):
        api.post("/api/v1/trust/roles", {"roles": {"targets": raw_metadata(metadata).decode()}})


def test_a_model_that_was_taken_back_is_published_from_above_again(
    alice: Person, team: Person, api: Api, make_device: Callable[[], Device], tmp_path: Path
) -> None:
    device = make_device()
    publish_release(api, team.folder, PASSPHRASE, make_bundle(), EVIDENCE)
    assert device.knows(manifest_target("digits", 1))
    alice.run("undelegate", "digits")
    assert alice.refused("undelegate", "digits") == "NOT_FOUND"
    assert not device.knows(manifest_target("digits", 1))
    publish_release(api, alice.folder, PASSPHRASE, make_bundle(2), EVIDENCE)
    assert device.knows(manifest_target("digits", 2))
    assert "- target models/digits/1/bundle.json" in delegated(alice, team, tmp_path)
    assert not device.knows(manifest_target("digits", 1))  # nothing old comes back unsigned
    assert team.status()[ROLE]["version"] == 3


def test_a_team_sets_the_policy_of_its_model_and_the_top_overrules_it(
    alice: Person, team: Person, api: Api
) -> None:
    team.run("policy", "digits", "--minimum-release", "2", "--machine", "aarch64")
    assert team.status()[ROLE]["version"] == 2
    alice.run("policy", "digits", "--minimum-release", "5")
    named = read_targets(fetch(api).current["targets"]).signed.targets["models/digits/policy.json"]
    assert named.custom == {"model": "digits", "minimum_release": 5, "machines": []}
