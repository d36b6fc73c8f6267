"""No silent change: whatever differs between two documents is said."""

import copy
import json
from datetime import UTC, datetime
from typing import Any

from hypothesis import given, reject
from hypothesis import strategies as st
from securesystemslib.signer import CryptoSigner

from lamplighter_protocol.assignment import DirectorKeys
from lamplighter_protocol.errors import LamplighterError
from lamplighter_protocol.trust import ModelPolicy
from lamplighter_server.publishing.changes import changes
from lamplighter_server.publishing.draft import Draft, first_draft
from lamplighter_server.trust.roles import Roles, read_role

NOW = datetime(2026, 5, 1, tzinfo=UTC)
KEYS = [CryptoSigner.generate_ed25519().public_key for _ in range(4)]


def full_roles() -> Roles:
    """Root and targets in which every kind of statement occurs."""
    first, _ = first_draft(
        root=(KEYS[:2], 2),
        targets=(KEYS[1:3], 1),
        snapshot=KEYS[2],
        timestamp=KEYS[3],
        director=DirectorKeys(epoch=1, public_pem=()),
        now_utc=NOW,
    )
    draft = Draft(first, NOW)
    draft.release("targets", "digits", 1, b"manifest", b"evidence")
    draft.restrict("targets", ModelPolicy(model="digits", minimum_release=1))
    for model in ("digits", "letters"):
        draft.delegate(model, KEYS[:2], 2)
    draft.renew(["root"])
    return draft.done()


ROLES = full_roles()
VALUES = st.one_of(
    st.none(), st.booleans(), st.integers(1, 9), st.text(max_size=8), st.just({}), st.just([])
)


def places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Every place in a JSON document."""
    items = (
        value.items()
        if isinstance(value, dict)
        else enumerate(value)
        if isinstance(value, list)
        else ()
    )
    return [path, *(place for key, item in items for place in places(item, (*path, key)))]


@st.composite
def edited(draw: st.DrawFn, role: str) -> bytes:
    """A document in which something was replaced, removed, added or reordered somewhere."""
    document = json.loads(ROLES[role])
    for _ in range(draw(st.integers(1, 3))):
        signed = document["signed"]
        *path, last = draw(st.sampled_from([place for place in places(signed) if place]))
        parent = signed
        for key in path:
            parent = parent[key]
        how = draw(st.sampled_from(["replace", "remove", "add", "reorder"]))
        if how == "remove":
            del parent[last]
        elif how == "replace":
            parent[last] = draw(VALUES)
        elif how == "add" and isinstance(parent, dict):
            parent[draw(st.text(min_size=1, max_size=8))] = copy.deepcopy(parent[last])
        elif isinstance(parent, list):
            parent.reverse()
    return json.dumps(document).encode()


def canonical(signed: Any) -> str:
    return json.dumps(signed.to_dict(), sort_keys=True)


def check(role: str, raw: bytes) -> None:
    try:
        after = read_role(role, raw).signed
    except LamplighterError:
        reject()
    before = read_role(role, ROLES[role]).signed
    same = canonical(before) == canonical(after)
    assert (changes(role, ROLES[role], raw) == []) == same
    assert (changes(role, raw, ROLES[role]) == []) == same
    for line in changes(role, ROLES[role], raw):
        assert line.isascii()
        assert line.isprintable()


@given(edited("targets"))
def test_every_difference_between_targets_is_said(raw: bytes) -> None:
    check("targets", raw)


@given(edited("root"))
def test_every_difference_between_roots_is_said(raw: bytes) -> None:
    check("root", raw)


def test_on_the_first_contact_everything_is_said() -> None:
    said = "\n".join(changes("targets", None, ROLES["targets"]))
    for name in read_role("targets", ROLES["targets"]).signed.to_dict()["targets"]:
        assert f"+ target {name} sha256 " in said
    assert "+ delegation model-digits" in said
    assert '"minimum_release": 1' in said
    for key in KEYS:
        assert f"+ key {key.keyid}" in "\n".join(changes("root", None, ROLES["root"]))


def test_the_order_of_delegations_is_part_of_what_they_say() -> None:
    document = json.loads(ROLES["targets"])
    document["signed"]["delegations"]["roles"].reverse()
    said = changes("targets", ROLES["targets"], json.dumps(document).encode())
    assert [line.split()[1:4] for line in said] == [
        ["!", "delegation", "model-digits"],
        ["!", "delegation", "model-letters"],
    ]


def test_a_name_cannot_pretend_to_be_something_else() -> None:
    document = json.loads(ROLES["targets"])
    targets = document["signed"]["targets"]
    targets["a\x1b[2K\n+ target b"] = targets["models/digits/1/bundle.json"]
    [line] = changes("targets", ROLES["targets"], json.dumps(document).encode())
    assert r'+ target "a\u001b[2K\n+ target b"' in line
