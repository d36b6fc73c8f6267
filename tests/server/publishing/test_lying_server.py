"""A server, or whoever carries a case, lies: what is not refused is shown before a signature."""

import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from securesystemslib.signer import CryptoSigner, Signature
from tests.server.publishing.conftest import (
    EVIDENCE,
    PASSPHRASE,
    SECRETS,
    TOKEN,
    Person,
    make_bundle,
)

from lamplighter_protocol.assignment import DirectorKeys
from lamplighter_protocol.canonical import sha256
from lamplighter_protocol.errors import LamplighterError
from lamplighter_server.cli.api import Api
from lamplighter_server.publishing import client, steps
from lamplighter_server.publishing.case import Case, write_case
from lamplighter_server.publishing.client import init_keys, publish_release
from lamplighter_server.publishing.draft import Draft, first_draft, raw_metadata
from lamplighter_server.publishing.exchange import fetch
from lamplighter_server.publishing.holder import Holder
from lamplighter_server.publishing.keys import KeyRing
from lamplighter_server.trust.roles import read_role

FILES = "/api/v1/trust/files/"
STRANGER = CryptoSigner.generate_ed25519()


class Liar(Api):
    """Answers some questions falsely, and counts what it is sent."""

    def __init__(self, address: str) -> None:
        super().__init__(address, TOKEN)
        self.files: dict[str, bytes] = {}
        self.online: dict[str, Any] = {}
        self.taken: list[str] = []

    def get(self, path: str, **query: str | int) -> Any:
        found = super().get(path, **query)
        return {**found, **self.online} if path.endswith("/online-keys") else found

    def get_bytes(self, path: str) -> bytes:
        name = path.removeprefix(FILES)
        return self.files[name] if name in self.files else super().get_bytes(path)

    def post(self, path: str, body: Any) -> Any:
        self.taken.append(path)
        return super().post(path, body)

    def put(self, path: str, content: Any) -> None:
        self.taken.append(path)
        super().put(path, content)


@pytest.fixture
def liar(address: str) -> Iterator[Liar]:
    with Liar(address) as api:
        yield api


def refusal(liar: Liar, folder: Path, release: int = 2) -> str:
    """What publishing is refused with; nothing may have been sent."""
    liar.taken.clear()
    with pytest.raises(LamplighterError) as caught:
        publish_release(liar, folder, PASSPHRASE, make_bundle(release), EVIDENCE)
    assert liar.taken == []
    return caught.value.code


def rewritten(raw: bytes, change: Callable[[dict[str, Any]], None]) -> bytes:
    document = json.loads(raw)
    change(document["signed"])
    return json.dumps(document).encode()


def test_an_online_key_under_the_id_of_another_is_refused(liar: Liar, folder: Path) -> None:
    honest = liar.get("/api/v1/trust/online-keys")["snapshot"]
    other = STRANGER.public_key
    liar.online = {"snapshot": {**other.to_dict(), "keyid": honest["keyid"]}}
    with pytest.raises(LamplighterError, match="TRUST_REFUSED"):
        init_keys(liar, folder, PASSPHRASE)
    nonsense: Any
    for nonsense in ({}, {"keyid": "a"}, {"keyid": "a", "keytype": 3}, [], "x"):
        liar.online = {"snapshot": nonsense}
        with pytest.raises(LamplighterError, match="MESSAGE_MALFORMED"):
            init_keys(liar, folder, PASSPHRASE)
    liar.online = {"director_public_pem": ["nonsense"]}
    with pytest.raises(LamplighterError, match="MESSAGE_MALFORMED"):
        init_keys(liar, folder, PASSPHRASE)
    assert not KeyRing(folder).keyids
    assert not liar.taken


def test_the_keys_that_a_server_names_are_shown(liar: Liar, folder: Path) -> None:
    key = STRANGER.public_key
    liar.online = {"timestamp": {**key.to_dict(), "keyid": key.keyid}}
    server = client.meet_server(liar, folder)
    assert server is not None
    proposal = steps.establish(Holder(folder), server, steps.ONE_KEY, steps.ONE_KEY, pytest.fail)
    shown = "\n".join(proposal.changes)
    assert f"+ key {key.keyid}" in shown
    assert f'+ role timestamp {{"keyids": ["{key.keyid}"], "threshold": 1}}' in shown
    [directing] = server.director.keys()
    assert f"director: ! epoch 1, signs with {directing}" in shown


@pytest.mark.parametrize(
    "change",
    [
        lambda signed: signed.update(version=9),
        lambda signed: signed["targets"].clear(),
        lambda signed: signed["targets"].pop("models/digits/1/bundle.json"),
        lambda signed: signed["targets"]["models/digits/1/bundle.json"].update(length=1),
        lambda signed: signed.update(delegations={"keys": {}, "roles": []}),
    ],
    ids=["version", "cleared", "dropped", "altered", "delegation"],
)
def test_altered_targets_get_no_signature(
    liar: Liar, established: Path, change: Callable[[dict[str, Any]], None]
) -> None:
    publish_release(liar, established, PASSPHRASE, make_bundle(), EVIDENCE)
    liar.files["targets.json"] = rewritten(liar.get_bytes(f"{FILES}targets.json"), change)
    assert refusal(liar, established) in {"SIGNATURE_INVALID", "TRUST_REFUSED"}


def test_older_targets_and_roots_get_no_signature(
    liar: Liar, established: Path, person: Callable[[str], Person]
) -> None:
    old = liar.get_bytes(f"{FILES}targets.json")
    publish_release(liar, established, PASSPHRASE, make_bundle(), EVIDENCE)
    liar.files["targets.json"] = old
    assert refusal(liar, established) == "TRUST_REFUSED"
    liar.files.clear()
    old_root = liar.get_bytes(f"{FILES}root.json")
    person("keys").run("rotate", "root")
    liar.files["root.json"] = old_root
    assert refusal(liar, established) == "TRUST_REFUSED"


def forged(holder: Path, under_its_id: dict[str, Any] | None = None) -> dict[str, bytes]:
    """Root and targets of a stranger, who has given the holder's targets key a place in them.

    With `under_its_id`, another key stands there under the id of the holder's key, and signs.
    """
    [victim] = KeyRing(holder).made_for("targets")
    if under_its_id is not None:
        victim = type(victim).from_dict(victim.keyid, under_its_id)
    roles, _ = first_draft(
        root=([STRANGER.public_key], 1),
        targets=([STRANGER.public_key, victim], 1),
        snapshot=STRANGER.public_key,
        timestamp=STRANGER.public_key,
        director=DirectorKeys(epoch=1, public_pem=()),
        now_utc=datetime.now(UTC),
    )
    draft = Draft(roles, datetime.now(UTC))
    draft.release("targets", "evil", 1, b"{}", b"{}")
    found = {**roles, **draft.done()}
    for role, raw in found.items():
        metadata = read_role(role, raw)
        metadata.sign(STRANGER)
        if under_its_id is not None:
            made = metadata.signatures[STRANGER.public_key.keyid].signature
            metadata.signatures[victim.keyid] = Signature(victim.keyid, made)
        found[role] = raw_metadata(metadata)
    return found


def test_another_root_gets_no_signature(liar: Liar, established: Path) -> None:
    lie = forged(established)
    liar.files = {"root.json": lie["root"], "1.root.json": lie["root"]}
    liar.files["targets.json"] = lie["targets"]
    assert refusal(liar, established, 1) == "TRUST_REFUSED"


def test_who_can_write_here_and_on_the_server_still_gets_nothing_past_the_key(
    liar: Liar, established: Path
) -> None:
    lie = forged(established)
    liar.files = {"root.json": lie["root"], "1.root.json": lie["root"]}
    liar.files["targets.json"] = lie["targets"]
    for role, raw in lie.items():
        (established / f"{role}.json").write_bytes(raw)
    assert refusal(liar, established, 1) == "TRUST_REFUSED"
    holder = Holder(established)
    proposal = client.propose_release(liar, holder, make_bundle(), EVIDENCE)
    assert proposal is not None
    assert any("+ target models/evil/1/bundle.json" in line for line in proposal.changes)


def test_a_key_under_the_id_of_the_holder_vouches_for_nothing(
    liar: Liar, established: Path
) -> None:
    """Forged metadata, here and on the server, that only look signed by the holder's key."""
    [victim] = KeyRing(established).made_for("targets")
    lie = forged(established, STRANGER.public_key.to_dict())
    assert victim.keyid.encode() in lie["targets"]
    liar.files = {"root.json": lie["root"], "1.root.json": lie["root"]}
    liar.files["targets.json"] = lie["targets"]
    for role, raw in lie.items():
        (established / f"{role}.json").write_bytes(raw)
    assert refusal(liar, established, 1) == "TRUST_REFUSED"


def proposed(api: Api, change: Callable[[Draft], None]) -> Case:
    """A case as somebody might hand it to a signer."""
    case = fetch(api)
    draft = Draft(case.current, datetime.now(UTC))
    change(draft)
    return Case(case.roots, case.current, draft.done(), dict(case.files))


def judged(folder: Path, case: Case, stick: Path, person: Callable[[str], Person]) -> str:
    write_case(stick, case)
    return person(folder.name).refused("sign", str(stick))


def test_a_carried_case_that_encloses_other_content_is_refused(
    api: Api, established: Path, tmp_path: Path, person: Callable[[str], Person]
) -> None:
    bundle = make_bundle()

    def publish(draft: Draft) -> None:
        draft.release("targets", "digits", 1, bundle.manifest_raw, EVIDENCE)

    case, stick = proposed(api, publish), tmp_path / "x.case"
    contents = [*bundle.files.values(), bundle.manifest_raw, EVIDENCE]
    whole = {**case.files, **{sha256(raw): raw for raw in contents}}
    for raw in contents:
        lacking = {digest: found for digest, found in whole.items() if digest != sha256(raw)}
        part = Case(case.roots, case.current, case.proposed, lacking)
        assert judged(established, part, stick, person) == "TRUST_REFUSED"
    write_case(stick, Case(case.roots, case.current, case.proposed, whole))
    person(established.name).run("sign", str(stick))


@pytest.mark.parametrize(
    "change",
    [
        lambda draft: draft.release("targets", "digits", 1, b"no manifest", b"e"),
        lambda draft: draft.direct(DirectorKeys(epoch=9, public_pem=())),
        lambda draft: draft.targets().targets.clear(),
        lambda draft: setattr(draft.targets(), "version", 7),
        lambda draft: setattr(draft.root.roles["root"], "threshold", 2),
    ],
    ids=["not enclosed", "epoch", "cleared", "version", "threshold"],
)
def test_a_carried_case_that_breaks_a_rule_is_refused(
    api: Api,
    established: Path,
    tmp_path: Path,
    person: Callable[[str], Person],
    change: Callable[[Draft], None],
) -> None:
    case = proposed(api, change)
    assert judged(established, case, tmp_path / "x.case", person) == "TRUST_REFUSED"


def test_an_extra_delegation_or_key_is_shown(api: Api, established: Path) -> None:
    def widen(draft: Draft) -> None:
        draft.delegate("digits", [STRANGER.public_key], 1)
        draft.hold("root", [*KeyRing(established).made_for("root"), STRANGER.public_key])
        draft.hold("timestamp", [STRANGER.public_key])

    shown = "\n".join(Holder(established).look_at(proposed(api, widen)).changes)
    assert "targets: + delegation model-digits" in shown
    assert f"targets: + delegated key {STRANGER.public_key.keyid}" in shown
    assert f"root: + key {STRANGER.public_key.keyid}" in shown
    assert "root: ! role root" in shown
    assert "root: ! role timestamp" in shown


def test_what_others_have_signed_since_is_shown_before_it_is_built_upon(
    api: Api, established: Path, tmp_path: Path
) -> None:
    """The same key on two machines: the other one has published in the meantime."""
    twin = tmp_path / "twin"
    twin.mkdir()
    for path in established.iterdir():
        (twin / path.name).write_bytes(path.read_bytes())
    publish_release(api, twin, PASSPHRASE, make_bundle(), EVIDENCE)
    with pytest.raises(LamplighterError, match="TRUST_REFUSED"):
        publish_release(api, established, PASSPHRASE, make_bundle(2), EVIDENCE)
    holder = Holder(established)
    proposal = client.propose_release(api, holder, make_bundle(2), EVIDENCE)
    assert proposal is not None
    assert any("+ target models/digits/1/bundle.json" in line for line in proposal.changes)
    client.conclude(api, holder, proposal, SECRETS)
    publish_release(api, established, PASSPHRASE, make_bundle(3), EVIDENCE)
