"""The server's verdict on a step of the offline roles."""

import json
from collections.abc import Callable, Collection
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from securesystemslib.signer import CryptoSigner
from tests.server.publishing.test_changes import edited
from tuf.api.metadata import DelegatedRole, Delegations

from lamplighter_protocol.assignment import DirectorKeys
from lamplighter_protocol.errors import LamplighterError
from lamplighter_protocol.trust import ModelPolicy
from lamplighter_server.publishing.draft import Draft, first_draft, raw_metadata
from lamplighter_server.trust.roles import Roles, find_policy, read_role
from lamplighter_server.trust.verify import accept

NOW = datetime(2026, 5, 1, tzinfo=UTC)
SIGNERS = [CryptoSigner.generate_ed25519() for _ in range(6)]
PUBLIC = [signer.public_key for signer in SIGNERS]
ROOT_KEYS, TARGETS_KEYS = range(3), range(3, 5)


def signed(roles: Roles, by: Collection[int] = range(6)) -> Roles:
    done = {}
    for role, raw in roles.items():
        metadata = read_role(role, raw)
        for number in sorted(by):
            metadata.sign(SIGNERS[number], append=True)
        done[role] = raw_metadata(metadata)
    return done


def first(root_threshold: int = 1, targets_threshold: int = 1) -> Roles:
    roles, _ = first_draft(
        root=(PUBLIC[:3], root_threshold),
        targets=(PUBLIC[3:5], targets_threshold),
        snapshot=PUBLIC[0],
        timestamp=PUBLIC[0],
        director=DirectorKeys(epoch=1, public_pem=()),
        now_utc=NOW,
    )
    return roles


#: The team has signed nothing of it.
BASE = accept({}, signed(first(), range(5)), now_utc=NOW)


def step(change: Callable[[Draft], Any], former: Roles = BASE) -> Roles:
    draft = Draft(former, NOW)
    change(draft)
    return signed(draft.done())


def refusal(offered: Roles, former: Roles = BASE, now_utc: datetime = NOW) -> str:
    with pytest.raises(LamplighterError) as caught:
        accept(former, offered, now_utc=now_utc)
    return f"{caught.value.code}: {caught.value.sentence}"


@given(
    st.integers(1, 3),
    st.integers(1, 2),
    st.sets(st.integers(0, 5)),
    st.sets(st.integers(0, 5)),
)
def test_a_step_counts_exactly_when_every_threshold_is_reached(
    root_threshold: int, targets_threshold: int, by_root: set[int], by_targets: set[int]
) -> None:
    roles = first(root_threshold, targets_threshold)
    offered = {
        **signed({"root": roles["root"]}, by_root),
        **signed({"targets": roles["targets"]}, by_targets),
    }
    enough = (
        len(by_root & set(ROOT_KEYS)) >= root_threshold
        and len(by_targets & set(TARGETS_KEYS)) >= targets_threshold
    )
    if enough:
        assert accept({}, offered, now_utc=NOW) == offered
    else:
        assert refusal(offered, {}).startswith("SIGNATURE_INVALID")


@given(st.integers(1, 3), st.sets(st.integers(0, 5)))
def test_a_root_needs_the_former_and_the_new_holders(threshold: int, by: set[int]) -> None:
    former = accept({}, signed(first(2, 1)), now_utc=NOW)
    draft = Draft(former, NOW)
    draft.hold("root", PUBLIC[2:5], threshold)
    offered = signed(draft.done(), by)
    enough = len(by & {0, 1, 2}) >= 2 and len(by & {2, 3, 4}) >= threshold
    if enough:
        assert accept(former, offered, now_utc=NOW)["root"] == offered["root"]
    else:
        assert refusal(offered, former).startswith("SIGNATURE_INVALID")


@given(st.integers(-3, 10))
def test_only_the_next_version_comes_next(version: int) -> None:
    draft = Draft(BASE, NOW)
    draft.targets().version = version
    raw = draft.done()
    if version == 2:
        accept(BASE, signed(raw), now_utc=NOW)
    else:
        with pytest.raises(LamplighterError):
            accept(BASE, signed(raw), now_utc=NOW)


@given(st.data())
def test_whatever_is_altered_after_signing_is_refused(data: st.DataObject) -> None:
    offered = step(lambda draft: draft.release("targets", "digits", 1, b"m", b"e"))
    document = json.loads(offered["targets"])
    where = data.draw(st.sampled_from(["version", "expires", "targets", "extra", "delegations"]))
    document["signed"][where] = data.draw(
        st.one_of(st.integers(), st.text(max_size=5), st.just({}), st.just("2031-01-01T00:00:00Z"))
    )
    with pytest.raises(LamplighterError):
        accept(BASE, {"targets": json.dumps(document).encode()}, now_utc=NOW)


def test_new_targets_keys_come_with_targets_that_they_have_signed() -> None:
    offered = step(lambda draft: draft.hold("targets", [PUBLIC[5]]))
    assert accept(BASE, offered, now_utc=NOW).keys() == {"root", "targets"}
    assert "SIGNATURE_INVALID" in refusal({"root": offered["root"]})


def test_published_releases_stay_and_policies_may_change() -> None:
    def publish(draft: Draft) -> None:
        draft.release("targets", "digits", 1, b"m", b"e")
        draft.restrict("targets", ModelPolicy(model="digits", minimum_release=1))

    former = accept(BASE, step(publish), now_utc=NOW)
    later = step(
        lambda draft: draft.restrict("targets", ModelPolicy(model="digits", minimum_release=7)),
        former,
    )
    assert find_policy(accept(former, later, now_utc=NOW), "digits").minimum_release == 7
    for path in ("models/digits/1/bundle.json", "models/digits/1/evidence.json"):
        lost = step(lambda draft, path=path: draft.targets().targets.pop(path), former)  # type: ignore[misc]
        assert "may not change or vanish" in refusal(lost, former)


def test_a_key_counts_once_and_under_its_own_id() -> None:
    def twice(draft: Draft) -> None:
        key = PUBLIC[0].to_dict()
        draft.root.keys["ff" * 32] = type(PUBLIC[0]).from_dict("ff" * 32, dict(key))
        draft.root.roles["root"].keyids.append("ff" * 32)

    assert "is not what its id says" in refusal(step(twice))


@pytest.mark.parametrize(
    ("spoil", "why"),
    [
        (lambda root: setattr(root, "consistent_snapshot", False), "consistent snapshots"),
        (lambda root: setattr(root.roles["root"], "threshold", 4), "needs 4 of 3"),
        (lambda root: setattr(root.roles["snapshot"], "threshold", 2), "needs 2 of 1"),
    ],
)
def test_a_root_that_could_lock_everybody_out_is_refused(spoil: Any, why: str) -> None:
    assert why in refusal(step(lambda draft: spoil(draft.root)))


def delegated(name: str = "model-digits", **changed: Any) -> Callable[[Draft], None]:
    def change(draft: Draft) -> None:
        draft.delegate("digits", [PUBLIC[5]], 1)
        given = draft.targets().delegations
        assert given is not None
        assert given.roles is not None
        role = given.roles["model-digits"]
        fields: dict[str, Any] = {
            "keyids": role.keyids,
            "threshold": 1,
            "terminating": False,
            "paths": role.paths,
            **changed,
        }
        draft.targets().delegations = Delegations(given.keys, {name: DelegatedRole(name, **fields)})

    return change


@pytest.mark.parametrize(
    "change",
    [
        delegated(paths=["*"]),
        delegated(paths=["models/*/*"]),
        delegated(paths=["models/digits/*", "models/digits/*/*", "director/*"]),
        delegated(paths=None, path_hash_prefixes=["a"]),
        delegated(terminating=True),
        delegated(threshold=2),
        delegated(keyids=["00" * 32]),
        delegated("everything"),
        delegated("model-letters"),
    ],
)
def test_a_delegation_gives_one_model_and_no_more(change: Callable[[Draft], None]) -> None:
    assert refusal(step(change)).startswith("TRUST_REFUSED")


def test_a_delegated_role_stays_within_its_model() -> None:
    former = accept(BASE, step(lambda draft: draft.delegate("digits", [PUBLIC[5]], 1)), now_utc=NOW)
    role = "model-digits"
    own = step(lambda draft: draft.release(role, "digits", 1, b"m", b"e"), former)
    after = accept(former, own, now_utc=NOW)
    foreign = step(lambda draft: draft.release(role, "letters", 1, b"m", b"e"), former)
    assert "may not name" in refusal(foreign, former)

    def nest(draft: Draft) -> None:
        draft.targets(role).delegations = Delegations({}, {})

    assert "may not delegate further" in refusal(step(nest, former), former)
    above = step(lambda draft: draft.release("targets", "digits", 1, b"other", b"e"), after)
    assert "name different" in refusal(above, after)
    stranger = step(lambda draft: draft.renew(["model-letters"]), former)
    assert "not delegated" in refusal(stranger, former)
    stolen = CryptoSigner.generate_ed25519().public_key
    keyed = step(lambda draft: draft.delegate("digits", [stolen], 1), former)
    assert "SIGNATURE_INVALID" in refusal({"targets": keyed["targets"]}, former)


def test_strange_targets_expired_metadata_and_floats_are_refused() -> None:
    def name(path: str, **custom: Any) -> Roles:
        def change(draft: Draft) -> None:
            draft.release("targets", "digits", 1, b"m", b"e")
            targets = draft.targets().targets
            target = targets.pop("models/digits/1/bundle.json")
            target.unrecognized_fields["custom"] = custom
            targets[path] = target

        return step(change)

    assert "no target of Lamplighter" in refusal(name("passwd"))
    assert "no target of Lamplighter" in refusal(name("models/digits/../x/bundle.json"))
    assert "says" in refusal(name("models/digits/2/bundle.json", model="digits", release=1))
    assert "TRUST_REFUSED" in refusal(
        name("models/digits/policy.json", model="digits", minimum_release=0)
    )
    offered = step(lambda draft: draft.renew(["targets"]))
    assert "TRUST_EXPIRED" in refusal(offered, now_utc=NOW + timedelta(days=400))
    document = json.loads(offered["targets"])
    document["signed"]["x"] = 0.5
    assert "MESSAGE_MALFORMED" in refusal({"targets": json.dumps(document).encode()})


@given(edited("targets"), edited("root"))
def test_whatever_an_offered_document_says_the_verdict_is_a_verdict(
    targets: bytes, root: bytes
) -> None:
    for offered in ({"targets": targets}, {"root": root}, {"root": root, "targets": targets}):
        for former in (BASE, {}):
            with pytest.raises(LamplighterError):
                accept(former, offered, now_utc=NOW)
