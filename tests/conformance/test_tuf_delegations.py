"""The search for a target through delegations (5.6.7), and what a device makes of it."""

from datetime import timedelta

import pytest
from tests.agent.tuf_repository import Repository
from tests.conformance.follower import Follower

from lamplighter_agent.trust.client import MAX_DELEGATIONS, Client
from lamplighter_agent.trust.lookup import MAX_VISITS
from lamplighter_agent.trust.models import Models, read_models
from lamplighter_protocol.errors import LamplighterError

NOWHERE = "a/b"


def visited(repository: Repository, follower: Follower, path: str = NOWHERE) -> tuple[str, ...]:
    repository.publish()
    found = follower.update().find(path)
    assert found.target is None
    return found.roles


@pytest.mark.parametrize(
    ("delegations", "order"),
    [
        ("targets>A", "A"),
        ("targets>A targets>B", "AB"),
        ("targets>A targets>B A>C A>D", "ACDB"),
        ("targets>A targets>B A>C C>D", "ACDB"),
        ("targets>A targets>B A>C! A>D", "AC"),
        ("targets>A targets>B A>C! C>D", "ACD"),
        ("targets>A! targets>B", "A"),
        ("targets>A A>B B>C C>A C>D", "ABCD"),
        ("targets>A targets>B A>A B>A", "AB"),
    ],
)
def test_roles_are_asked_in_pre_order(
    repository: Repository, follower: Follower, delegations: str, order: str
) -> None:
    for edge in delegations.split():
        by, _, role = edge.rstrip("!").partition(">")
        repository.delegate(role, "*/*", by=by, terminating=edge.endswith("!"))
    assert visited(repository, follower) == ("targets", *order)


def test_a_diamond_is_verified_by_each_of_its_sides(
    repository: Repository, follower: Follower
) -> None:
    for side in "AB":
        repository.delegate(side, f"{side}/*")
        repository.delegate("C", f"{side}/*", by=side)
    repository.put("A/x", b"x", role="C")
    repository.put("B/x", b"x", role="C")
    repository.publish()
    assert follower.update().find("B/x").roles == ("targets", "B", "C")
    repository.signers["C"].pop()  # the key that B demands
    repository.publish()
    client = follower.update()
    assert client.find("A/x").target is not None
    for _ in range(2):
        with pytest.raises(LamplighterError, match="TRUST_REFUSED"):
            client.find("B/x")


@pytest.mark.parametrize(
    ("pattern", "path", "matches"),
    [
        ("*.md", "README.md", True),
        ("*.md", "README.MD", False),
        ("*.md", "docs/README.md", False),
        ("docs/*", "docs/a/b", False),
        ("foo-?.tgz", "foo-1.tgz", True),
        ("foo-?.tgz", "foo-10.tgz", False),
        ("[ab]/x", "a/x", True),
        ("[ab]/x", "c/x", False),
        ("models/digits/*", "models/digits/policy.json", True),
        ("models/digits/*", "models/digits/1/bundle.json", False),
        ("models/digits/*/*", "models/digits/1/bundle.json", True),
        ("models/digits/*/*", "models/digits-2/1/bundle.json", False),
        ("models/digits", "models/digits/1", False),
    ],
)
def test_patterns_match_within_one_level(
    repository: Repository, follower: Follower, pattern: str, path: str, matches: bool
) -> None:
    repository.delegate("team", pattern)
    repository.put(path, b"x", role="team")
    repository.publish()
    assert (follower.update().find(path).target is not None) is matches


@pytest.mark.parametrize("role", ["?", "#", "/team", "../team", "a b", "%2e", "ä"])
def test_odd_names_stay_within_the_folder(
    repository: Repository, follower: Follower, role: str
) -> None:
    repository.delegate(role, "*/*")
    assert visited(repository, follower) == ("targets", role)
    assert not any("/" in name for name in follower.files)
    assert len(follower.files) == 5


def test_a_name_that_no_file_can_have_is_refused(
    repository: Repository, follower: Follower
) -> None:
    repository.delegate("a" * 251, "*/*")
    with pytest.raises(LamplighterError, match=r"TRUST_REFUSED.*too long"):
        visited(repository, follower)


def test_a_role_that_the_snapshot_does_not_name_is_not_fetched(
    repository: Repository, follower: Follower
) -> None:
    repository.delegate("team", "*/*")
    repository.publish()
    del repository.snapshot.meta["team.json"]
    repository.publish_snapshot()
    repository.publish_timestamp()
    client = follower.update()
    with pytest.raises(LamplighterError, match="does not name team"):
        client.find(NOWHERE)


def test_roles_that_nobody_names_any_more_are_dropped(
    repository: Repository, follower: Follower
) -> None:
    repository.delegate("team", "*/*")
    visited(repository, follower)
    assert follower.version("team") == 1
    repository.rotate("snapshot")
    repository.publish_root()
    del repository.roles["team"], repository.snapshot.meta["team.json"]
    repository.targets.delegations = None
    repository.publish()
    follower.update()
    assert follower.version("team") is None


def test_delegations_are_bounded(repository: Repository, follower: Follower) -> None:
    for number in range(MAX_DELEGATIONS):
        repository.delegate(f"r{number}", "*/*")
    with pytest.raises(LamplighterError, match=r"TRUST_REFUSED.*Too many roles"):
        visited(repository, follower)
    assert MAX_VISITS <= MAX_DELEGATIONS


# What a device makes of it.


def models_of(repository: Repository, follower: Follower) -> tuple[Client, Models]:
    repository.publish()
    client = follower.update()
    return client, read_models(client)


@pytest.fixture
def team(repository: Repository) -> Repository:
    """Two teams publish their own models, the offline keys a third."""
    for model in ("cats", "dogs"):
        repository.delegate(f"model-{model}", f"models/{model}/*", f"models/{model}/*/*")
        repository.add(model, 1, model.encode(), role=f"model-{model}")
    repository.add("digits", 1, b"digits")
    return repository


def test_each_team_publishes_its_own_model_and_no_other(
    team: Repository, follower: Follower
) -> None:
    team.add("dogs", 2, b"a cat", role="model-cats")
    team.add("digits", 2, b"a cat", role="model-cats")
    _, models = models_of(team, follower)
    assert {path: signed.roles[-1] for path, signed in models.targets.items()} == {
        "models/cats/1/bundle.json": "model-cats",
        "models/dogs/1/bundle.json": "model-dogs",
        "models/digits/1/bundle.json": "targets",
    }
    assert not models.refused


def test_the_top_level_role_wins(team: Repository, follower: Follower) -> None:
    team.add("cats", 1, b"the better cat")
    team.set_policy("cats", minimum_release=2)
    team.set_policy("cats", "model-cats", minimum_release=1)
    team.set_policy("dogs", "model-dogs", minimum_release=3, machines=["aarch64"])
    _, models = models_of(team, follower)
    assert models.targets["models/cats/1/bundle.json"].size_bytes == len(b"the better cat")
    assert models.policies["cats"].minimum_release == 2
    assert models.policies["dogs"].machines == ("aarch64",)


def test_a_broken_role_refuses_its_own_models_only(team: Repository, follower: Follower) -> None:
    team.expires["model-cats"] = follower.now_utc - timedelta(hours=1)
    client, models = models_of(team, follower)
    assert set(models.targets) == {"models/dogs/1/bundle.json", "models/digits/1/bundle.json"}
    assert models.refused.keys() == {"cats"}
    assert models.refused["cats"].code == "TRUST_EXPIRED"
    assert "model-cats" not in client.expires_utc


def test_where_the_policy_cannot_be_known_nothing_is_started(
    team: Repository, follower: Follower
) -> None:
    team.add("cats", 2, b"signed at the top")
    team.expires["model-cats"] = follower.now_utc - timedelta(hours=1)
    _, models = models_of(team, follower)
    assert "cats" in models.refused


@pytest.mark.parametrize(
    "policy", [{"minimum_release": 0}, {"minimum_release": "2"}, {"model": "dogs"}, {"machines": 1}]
)
def test_a_policy_that_is_not_clear_refuses_the_model(
    team: Repository, follower: Follower, policy: dict[str, object]
) -> None:
    custom = {"model": "digits", **policy}
    team.put("models/digits/policy.json", b"{}", custom=custom)
    _, models = models_of(team, follower)
    assert models.refused["digits"].code == "TRUST_REFUSED"
    assert "cats" not in models.refused
