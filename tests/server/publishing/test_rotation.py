"""Keys are replaced; what the former ones sign afterwards is worth nothing."""

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from tests.server.publishing.conftest import (
    EVIDENCE,
    PASSPHRASE,
    SECRETS,
    Device,
    Person,
    RunningServer,
    make_bundle,
)

from lamplighter_protocol.assignment import decode_director_keys
from lamplighter_protocol.errors import LamplighterError
from lamplighter_protocol.names import manifest_target
from lamplighter_server.cli.api import Api
from lamplighter_server.publishing.client import publish_release
from lamplighter_server.publishing.draft import Draft, raw_metadata
from lamplighter_server.publishing.exchange import fetch
from lamplighter_server.publishing.keys import KeyRing
from lamplighter_server.trust.roles import TARGETS, read_targets

DIRECTOR_FILE = "/api/v1/trust/files/director-keys.json"


@pytest.fixture
def alice(person: Callable[[str], Person]) -> Person:
    made = person("alice")
    made.run("init")
    return made


@pytest.mark.parametrize("role", ["root", "targets"])
def test_an_offline_key_is_replaced_and_devices_follow(
    alice: Person, api: Api, make_device: Callable[[], Device], role: str
) -> None:
    device = make_device()
    device.refresh()
    before = alice.status()[role]["keyids"]
    [former] = KeyRing(alice.folder).open(before, SECRETS)
    alice.run("rotate", role)
    after = alice.status()
    assert not set(after[role]["keyids"]) & set(before)
    assert after[role]["here"] == after[role]["keyids"]
    assert not set(before) & KeyRing(alice.folder).keyids
    publish_release(api, alice.folder, PASSPHRASE, make_bundle(), EVIDENCE)
    assert device.knows(manifest_target("digits", 1))
    draft = Draft(fetch(api).current, datetime.now(UTC))
    draft.renew([role])
    metadata: Any = read_targets(draft.done()[role]) if role == TARGETS else None
    if metadata is not None:
        metadata.sign(former)
        with pytest.raises(LamplighterError, match="SIGNATURE_INVALID"):
            api.post("/api/v1/trust/roles", {"roles": {role: raw_metadata(metadata).decode()}})


def test_a_device_that_was_away_walks_every_root(
    alice: Person, make_device: Callable[[], Device], api: Api
) -> None:
    device = make_device()
    device.refresh()
    for _ in range(3):
        alice.run("rotate", "root")
    assert device.refresh() is not None
    for number in (1, 2, 3, 4):
        assert api.get_bytes(f"/api/v1/trust/files/{number}.root.json")


def test_after_a_theft_every_online_key_is_replaced_in_one_step(
    alice: Person, server: RunningServer, api: Api, make_device: Callable[[], Device]
) -> None:
    device = make_device()
    device.refresh()
    files = {path.name: path.read_bytes() for path in (server.folder / "keys-online").iterdir()}
    before, epoch = alice.status(), decode_director_keys(api.get_bytes(DIRECTOR_FILE))
    shown = alice.run("rotate", "snapshot", "timestamp", "director").output
    after, director = alice.status(), decode_director_keys(api.get_bytes(DIRECTOR_FILE))
    for role in ("snapshot", "timestamp"):
        assert not set(after[role]["keyids"]) & set(before[role]["keyids"])
    assert (epoch.epoch, director.epoch) == (1, 2)
    assert f"director: ! epoch 2, signs with {next(iter(director.keys()))}" in shown
    assert not director.keys().keys() & epoch.keys().keys()
    server.tick()
    now = {path.name: path.read_bytes() for path in (server.folder / "keys-online").iterdir()}
    assert now.pop("audit.pem") == files["audit.pem"]  # no device trusts it
    assert now.keys() == {"snapshot.pem", "timestamp.pem", "director.pem"}
    assert not set(now.values()) & set(files.values())
    assert device.refresh() is not None
    publish_release(api, alice.folder, PASSPHRASE, make_bundle(), EVIDENCE)
    assert device.knows(manifest_target("digits", 1))


def test_an_interrupted_rotation_goes_on_where_it_stopped(
    alice: Person, api: Api, server: RunningServer
) -> None:
    made = api.post("/api/v1/trust/online-keys/snapshot/next", {})
    server.tick()  # nothing has named the new key yet
    assert alice.refused("rotate", "snapshot", passphrase="wrong") == "PASSPHRASE_WRONG"
    alice.run("rotate", "snapshot")
    assert alice.status()["snapshot"]["keyids"] == [made["tuf_key"]["keyid"]]
    alice.run("rotate", "snapshot")  # before any tick: a third key, not the second once more
    assert alice.status()["snapshot"]["keyids"] != [made["tuf_key"]["keyid"]]


def test_holders_come_and_go(alice: Person, tmp_path: Path) -> None:
    other = Person(tmp_path / "bob", "http://127.0.0.1:9")
    other.run("create", str(tmp_path / "bob.pub"))
    alice.run("rotate", "root", "--add", str(tmp_path / "bob.pub"))
    root = alice.status()["root"]
    assert (len(root["keyids"]), root["threshold"]) == (2, 1)
    [stranger] = set(root["keyids"]) - set(root["here"])
    alice.run("rotate", "root", "--remove", stranger)
    assert alice.status()["root"]["keyids"] == root["here"]
    assert alice.refused("rotate", "root", "--remove", stranger) == "NOT_FOUND"
    assert alice.refused("rotate", "root", "--threshold", "2") == "TRUST_REFUSED"


def test_renewing_changes_nothing_but_versions_and_expiry(alice: Person) -> None:
    shown = alice.run("renew").output
    changed = {line.split()[6] for line in shown.splitlines() if line.startswith("to be")}
    assert {"version"} <= changed <= {"version", "expires"}  # both may end in the same second
    assert alice.refused("renew", "model-digits") == "NOT_FOUND"
