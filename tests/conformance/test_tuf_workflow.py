"""The client workflow of the TUF specification against a repository that attacks."""

import json
from collections.abc import Callable
from datetime import timedelta

import pytest
from securesystemslib.signer import CryptoSigner
from tests.agent.tuf_repository import Repository
from tests.conformance.follower import Follower
from tuf.api.metadata import Metadata, MetaFile

from lamplighter_agent.trust.client import MAX_ROOT_ROTATIONS

HUGE = 2**63


def test_an_update_follows_every_role(repository: Repository, follower: Follower) -> None:
    follower.update()
    assert follower.versions == (1, 1, 1, 1)
    repository.publish_root()
    repository.publish()
    follower.update()
    assert follower.versions == (2, 2, 2, 2)
    assert follower.files["targets.json"] == repository.files["2.targets.json"]


def test_what_is_kept_is_not_fetched_again(repository: Repository, follower: Follower) -> None:
    follower.update()
    asked: list[str] = []

    def fetch(name: str, max_bytes: int) -> bytes | None:
        asked.append(name)
        return repository.fetch(name, max_bytes)

    follower.fetch = fetch
    follower.update()
    assert asked == ["2.root.json", "timestamp.json"]


def test_without_consistent_snapshots_names_carry_no_version(
    repository: Repository, follower: Follower
) -> None:
    repository.root.consistent_snapshot = False
    repository.publish_root()
    for role in ("snapshot", "targets"):
        repository.files[f"{role}.json"] = repository.files.pop(f"1.{role}.json")
    follower.update()
    assert follower.versions == (2, 1, 1, 1)


# Freeze (5.3.10, 5.4.4, 5.5.6, 5.6.5).


@pytest.mark.parametrize(
    ("role", "kept"),
    [
        ("root", (2, 1, 1, 1)),
        ("timestamp", (1, 1, 1, 1)),
        ("snapshot", (1, 2, 1, 1)),
        ("targets", (1, 2, 2, 1)),
    ],
)
def test_expired_metadata_stops_the_update_where_it_is_met(
    repository: Repository, follower: Follower, role: str, kept: tuple[int, ...]
) -> None:
    follower.update()
    repository.expires[role] = follower.now_utc - timedelta(hours=1)
    if role == "root":
        repository.publish_root()
    repository.publish()
    follower.refuses("TRUST_EXPIRED")
    assert follower.versions == kept


def test_metadata_that_is_served_for_too_long_is_refused_at_last(
    repository: Repository, follower: Follower
) -> None:
    follower.update()
    follower.now_utc += timedelta(days=31)
    follower.refuses("TRUST_EXPIRED")
    assert follower.versions == (1, 1, 1, 1)


def test_expired_metadata_that_is_kept_does_not_hinder_newer(
    repository: Repository, follower: Follower
) -> None:
    follower.update()
    follower.now_utc += timedelta(days=31)
    repository.expires = dict.fromkeys(repository.expires, follower.now_utc + timedelta(days=1))
    repository.publish_root()
    repository.publish()
    follower.update()
    assert follower.versions == (2, 2, 2, 2)


# Rollback (5.4.3, 5.5.5) and mix-and-match (5.5.4, 5.6.4).


def roll_back_timestamp(repository: Repository) -> None:
    repository.timestamp.version = 1
    repository.publish_timestamp()


def roll_back_snapshot(repository: Repository) -> None:
    repository.snapshot.version = 1
    repository.publish_snapshot()
    repository.publish_timestamp()


def roll_back_targets(repository: Repository) -> None:
    repository.targets.version = 1
    repository.publish_targets()
    repository.publish_snapshot()
    repository.publish_timestamp()


def lose_a_role(repository: Repository) -> None:
    del repository.snapshot.meta["team.json"]
    repository.publish_snapshot()
    repository.publish_timestamp()


def swap_snapshot(repository: Repository) -> None:
    repository.timestamp.snapshot_meta = MetaFile(4)
    repository.publish_timestamp()
    repository.files["4.snapshot.json"] = repository.files["3.snapshot.json"]


def swap_targets(repository: Repository) -> None:
    repository.snapshot.meta["targets.json"] = MetaFile(4)
    repository.publish_snapshot()
    repository.publish_timestamp()
    repository.files["4.targets.json"] = repository.files["3.targets.json"]


@pytest.mark.parametrize("hashes", [False, True])
@pytest.mark.parametrize(
    ("attack", "kept"),
    [
        (roll_back_timestamp, (1, 3, 3, 3)),
        (roll_back_snapshot, (1, 3, 3, 3)),
        (roll_back_targets, (1, 4, 3, 3)),
        (lose_a_role, (1, 4, 3, 3)),
        (swap_snapshot, (1, 4, 3, 3)),
        (swap_targets, (1, 4, 4, 3)),
    ],
)
def test_no_role_goes_back_and_none_is_mixed(
    repository: Repository,
    follower: Follower,
    attack: Callable[[Repository], None],
    kept: tuple[int, ...],
    hashes: bool,
) -> None:
    repository.hashes = hashes
    repository.delegate("team", "team/*")
    repository.publish()
    repository.publish()
    follower.update()
    attack(repository)
    follower.refuses("TRUST_REFUSED")
    assert follower.versions == kept
    repository.publish_targets()
    repository.roles["targets"].version = repository.snapshot.version = 5
    repository.publish()
    follower.update()


def test_a_timestamp_with_the_same_version_is_discarded(
    repository: Repository, follower: Follower
) -> None:
    follower.update()
    before = dict(follower.files)
    repository.timestamp.version = 0
    repository.timestamp.snapshot_meta = MetaFile(99)
    repository.publish_timestamp()
    follower.update()
    assert follower.files == before


# Fast-forward and the recovery from it (5.3.11).


def forward_timestamp(repository: Repository) -> None:
    repository.timestamp.version = HUGE


def forward_snapshot(repository: Repository) -> None:
    repository.snapshot.version = HUGE


def forward_targets(repository: Repository) -> None:
    repository.targets.version = HUGE


@pytest.mark.parametrize(
    ("forward", "role"),
    [
        (forward_timestamp, "timestamp"),
        (forward_snapshot, "snapshot"),
        (forward_snapshot, "timestamp"),
        (forward_targets, "snapshot"),
    ],
)
def test_new_online_keys_recover_from_versions_that_were_forwarded(
    repository: Repository,
    follower: Follower,
    forward: Callable[[Repository], None],
    role: str,
) -> None:
    forward(repository)
    repository.publish()
    follower.update()
    for signed in (repository.timestamp, repository.snapshot, repository.targets):
        signed.version = min(signed.version, 2)
    repository.publish()
    follower.refuses("TRUST_REFUSED")
    repository.rotate(role)
    repository.publish_root()
    repository.publish()
    follower.update()
    assert max(version or 0 for version in follower.versions) < HUGE


def test_a_second_online_key_opens_no_way_back(repository: Repository, follower: Follower) -> None:
    repository.publish()
    follower.update()
    repository.signers["timestamp"].append(CryptoSigner.generate_ed25519())
    repository.root.add_key(repository.signers["timestamp"][1].public_key, "timestamp")
    repository.publish_root()
    repository.timestamp.version = 0
    repository.publish_timestamp()
    follower.refuses("TRUST_REFUSED")
    assert follower.versions == (2, 2, 2, 2)


# Roots (5.3).


def test_a_chain_of_roots_is_climbed_step_by_step(
    repository: Repository, follower: Follower
) -> None:
    for _ in range(5):
        old = repository.signers["root"]
        repository.rotate("root")
        repository.publish_root([*old, *repository.signers["root"]])
    follower.update()
    assert follower.version("root") == 6


def test_a_missing_root_ends_the_chain_before_it(
    repository: Repository, follower: Follower
) -> None:
    for _ in range(3):
        repository.publish_root()
    del repository.files["3.root.json"]
    follower.update()
    assert follower.version("root") == 2


def test_no_more_roots_are_climbed_at_once_than_agreed(
    repository: Repository, follower: Follower
) -> None:
    raw = repository.root_bytes
    asked = 0

    def fetch(name: str, max_bytes: int) -> bytes | None:
        nonlocal asked
        if not name.endswith("root.json"):
            return repository.fetch(name, max_bytes)
        asked += 1
        repository.root.version = asked
        repository.publish_root()
        return repository.fetch(name, max_bytes)

    follower.fetch = fetch
    follower.update()
    assert asked == MAX_ROOT_ROTATIONS
    assert follower.files["root.json"] != raw


def skip_a_version(repository: Repository) -> None:
    repository.root.version = 2
    repository.publish_root()
    repository.files["2.root.json"] = repository.files.pop("3.root.json")


def repeat_a_version(repository: Repository) -> None:
    repository.files["2.root.json"] = repository.files["1.root.json"]


def sign_with_new_key_only(repository: Repository) -> None:
    repository.rotate("root")
    repository.publish_root()


def sign_with_old_key_only(repository: Repository) -> None:
    old = repository.signers["root"]
    repository.rotate("root")
    repository.publish_root(old)


def raise_threshold_unmet(repository: Repository) -> None:
    second = CryptoSigner.generate_ed25519()
    repository.root.add_key(second.public_key, "root")
    repository.root.roles["root"].threshold = 2
    repository.publish_root()


def lower_threshold_unmet(repository: Repository) -> None:
    """The threshold of the trusted root counts, too: it asks for two."""
    raise_threshold_unmet(repository)
    second = CryptoSigner.generate_ed25519()
    repository.root.add_key(second.public_key, "root")
    repository.files["2.root.json"] = repository.sign(
        "root", repository.root, [*repository.signers["root"], second]
    )
    repository.root.roles["root"].threshold = 1
    repository.publish_root()


@pytest.mark.parametrize(
    ("attack", "kept"),
    [
        (skip_a_version, 1),
        (repeat_a_version, 1),
        (sign_with_new_key_only, 1),
        (sign_with_old_key_only, 1),
        (raise_threshold_unmet, 1),
        (lower_threshold_unmet, 2),
    ],
)
def test_a_root_that_does_not_follow_is_refused(
    repository: Repository, follower: Follower, attack: Callable[[Repository], None], kept: int
) -> None:
    attack(repository)
    follower.refuses("TRUST_REFUSED")
    assert follower.versions == (kept, None, None, None)


# Thresholds and signatures.


def test_one_key_does_not_make_a_threshold_of_two(
    repository: Repository, follower: Follower
) -> None:
    repository.root.add_key(CryptoSigner.generate_ed25519().public_key, "snapshot")
    repository.root.roles["snapshot"].threshold = 2
    repository.publish_root()
    repository.publish()
    follower.refuses("TRUST_REFUSED")
    document = json.loads(repository.files["2.snapshot.json"])
    document["signatures"] *= 2
    repository.files["2.snapshot.json"] = json.dumps(document).encode()
    follower.refuses("TRUST_REFUSED")
    assert follower.versions == (2, 2, None, None)


def test_a_key_that_is_listed_twice_counts_once(repository: Repository, follower: Follower) -> None:
    repository.root.roles["snapshot"].keyids *= 2
    repository.root.roles["snapshot"].threshold = 2
    repository.publish_root()
    follower.refuses("TRUST_REFUSED")
    assert follower.version("root") == 1


def test_a_bad_signature_beside_a_good_one_does_no_harm(
    repository: Repository, follower: Follower
) -> None:
    second = CryptoSigner.generate_ed25519()
    repository.root.add_key(second.public_key, "timestamp")
    repository.publish_root()
    raw = repository.sign(
        "timestamp", repository.timestamp, [*repository.signers["timestamp"], second]
    )
    metadata = Metadata.from_bytes(raw)
    metadata.signatures[second.public_key.keyid].signature = "00"
    repository.files["timestamp.json"] = metadata.to_bytes()
    follower.update()


@pytest.mark.parametrize("role", ["timestamp", "snapshot", "targets"])
def test_a_stranger_signs_nothing(repository: Repository, follower: Follower, role: str) -> None:
    repository.signers[role] = [CryptoSigner.generate_ed25519()]
    repository.publish()
    follower.refuses("TRUST_REFUSED")
    assert follower.version(role) is None


@pytest.mark.parametrize("make", [CryptoSigner.generate_rsa, CryptoSigner.generate_ecdsa])
def test_every_type_of_key_is_verified(
    repository: Repository, follower: Follower, make: Callable[[], CryptoSigner]
) -> None:
    signer = make()
    repository.signers["root"].append(signer)
    repository.root.add_key(signer.public_key, "root")
    repository.root.roles["root"].threshold = 2
    repository.publish_root()
    follower.update()
    assert follower.version("root") == 2


# Bytes that are not what they should be.


def test_metadata_of_another_type_is_refused(repository: Repository, follower: Follower) -> None:
    repository.signers["snapshot"] = repository.signers["timestamp"]
    repository.publish_snapshot()
    repository.files["timestamp.json"] = repository.files["2.snapshot.json"]
    follower.refuses("TRUST_REFUSED")
    assert follower.versions == (1, None, None, None)


@pytest.mark.parametrize("name", ["2.root.json", "timestamp.json", "1.snapshot.json"])
@pytest.mark.parametrize("raw", [b"", b"\xff", b"{", b"{}", b"[" * 5000, b'{"signed": {}}'])
def test_bytes_without_sense_are_refused(
    repository: Repository, follower: Follower, name: str, raw: bytes
) -> None:
    repository.files[name] = raw
    follower.refuses("TRUST_REFUSED")


@pytest.mark.parametrize("role", ["snapshot", "targets"])
def test_other_bytes_than_the_named_ones_are_refused(
    repository: Repository, follower: Follower, role: str
) -> None:
    repository.hashes = True
    repository.publish()
    follower.update()
    repository.publish()
    raw = repository.files[f"3.{role}.json"]
    repository.files[f"3.{role}.json"] = raw.replace(b'"signed"', b' "signed"')[: len(raw)]
    follower.refuses("TRUST_REFUSED")
    repository.files[f"3.{role}.json"] = raw + b" "

    def cut(name: str, max_bytes: int) -> bytes | None:
        raw = repository.files.get(name)
        return raw[:max_bytes] if raw else None  # a transport would refuse what is longer

    follower.fetch = cut
    follower.update()


@pytest.mark.parametrize("name", ["timestamp.json", "1.snapshot.json", "1.targets.json"])
def test_a_file_that_is_not_there_is_waited_for(
    repository: Repository, follower: Follower, name: str
) -> None:
    raw = repository.files.pop(name)
    follower.refuses("TRUST_MISSING")
    repository.files[name] = raw
    follower.update()


@pytest.mark.parametrize("role", ["timestamp", "snapshot", "targets"])
def test_a_half_written_file_is_fetched_anew(
    repository: Repository, follower: Follower, role: str
) -> None:
    follower.update()
    whole = dict(follower.files)
    follower.files[f"{role}.json"] = whole[f"{role}.json"][:100]
    follower.update()
    assert follower.files == whole


def test_a_damaged_root_is_no_root(repository: Repository, follower: Follower) -> None:
    follower.files["root.json"] = repository.root_bytes[:-9]
    follower.refuses("TRUST_REFUSED")
    document = json.loads(repository.root_bytes)
    document["signatures"][0]["sig"] = "00"
    follower.files["root.json"] = json.dumps(document).encode()
    follower.refuses("TRUST_REFUSED")


def test_unknown_fields_are_signed_and_ignored(repository: Repository, follower: Follower) -> None:
    repository.targets.unrecognized_fields["x-note"] = {"a": [1, None]}
    repository.publish()
    follower.update()
    assert follower.version("targets") == 2
