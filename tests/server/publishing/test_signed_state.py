"""What an interruption, a forged key or a tampered file can do to somebody who signs."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from securesystemslib.signer import CryptoSigner
from tests.server.publishing.conftest import PASSPHRASE, make_bundle
from tests.server.publishing.test_publishing_client import EVIDENCE, FakeApi

from lamplighter_converters.pack import Bundle
from lamplighter_protocol.errors import LamplighterError
from lamplighter_server.publishing import ceremony, keys
from lamplighter_server.publishing.client import (
    init_keys,
    propose_release,
    publish_proposal,
    publish_release,
)
from lamplighter_server.publishing.state import SignedState

NOW = datetime.now(UTC)


class Server(FakeApi):
    """Refuses or falls silent on demand, and keeps every root that it was sent."""

    def __init__(self) -> None:
        super().__init__()
        self.roots: list[str] = []
        self.refuses_with = ""

    def post(self, path: str, body: dict[str, str]) -> Any:
        self.roots += [body["root"]] if "root" in body else []
        if self.refuses_with:
            raise LamplighterError(self.refuses_with, "No.")
        return super().post(path, body)


@pytest.fixture
def server() -> Any:
    return Server()


def test_a_first_signature_whose_answer_was_lost_is_sent_again_unchanged(
    server: Any, folder: Path
) -> None:
    server.loses_the_answer = True
    with pytest.raises(LamplighterError, match="SERVER_UNREACHABLE"):
        init_keys(server, folder, PASSPHRASE)
    server.loses_the_answer = False
    with pytest.raises(LamplighterError, match="PASSPHRASE_WRONG"):
        init_keys(server, folder, "wrong")
    init_keys(server, folder, PASSPHRASE)
    assert len(set(server.roots)) == 1
    publish_release(server, folder, PASSPHRASE, make_bundle(), EVIDENCE)


def test_a_refused_first_signature_is_made_anew_with_the_same_keys(
    server: Any, folder: Path
) -> None:
    server.refuses_with = "TRUST_REFUSED"
    with pytest.raises(LamplighterError, match="TRUST_REFUSED"):
        init_keys(server, folder, PASSPHRASE)
    assert SignedState(folder).unconfirmed_first() is None
    made = (folder / "root.pem").read_bytes()
    server.refuses_with = ""
    init_keys(server, folder, PASSPHRASE)
    assert (folder / "root.pem").read_bytes() == made


def test_a_key_under_the_id_of_another_is_refused() -> None:
    one, other = (CryptoSigner.generate_ed25519().public_key for _ in range(2))
    assert ceremony.read_key({"keyid": one.keyid, **one.to_dict()}) == one
    with pytest.raises(LamplighterError, match="TRUST_REFUSED"):
        ceremony.read_key({"keyid": one.keyid, **other.to_dict()})


@pytest.mark.parametrize(
    "files",
    [
        {"model.onnx": b"x" * 70_000, "golden.npz": b"g"},
        {"model.onnx": b"m" * 70_000},
        {"model.onnx": b"m" * 70_000, "golden.npz": b"g", "more": b""},
    ],
    ids=["changed", "missing", "not named"],
)
def test_a_bundle_with_other_files_than_named_is_neither_signed_nor_sent(
    server: Any, folder: Path, files: dict[str, bytes]
) -> None:
    init_keys(server, folder, PASSPHRASE)
    sound, seen = make_bundle(), len(server.log)
    tampered = Bundle(manifest=sound.manifest, manifest_raw=sound.manifest_raw, files=files)
    with pytest.raises(LamplighterError, match="TRUST_REFUSED"):
        publish_release(server, folder, PASSPHRASE, tampered, EVIDENCE)
    assert len(server.log) == seen


def test_changes_are_known_before_a_key_is_opened(server: Any, folder: Path) -> None:
    init_keys(server, folder, PASSPHRASE)
    seen = len(server.log)
    proposal = propose_release(server, folder, make_bundle(), EVIDENCE)
    assert proposal.changes[0] == "targets version 1 -> 2"
    assert make_bundle().sha256[:16] in proposal.changes[1]
    assert len(server.log) == seen
    publish_proposal(server, folder, PASSPHRASE, proposal)
    assert propose_release(server, folder, make_bundle(), EVIDENCE).targets == server.targets


def test_publishing_needs_no_root_key(server: Any, folder: Path) -> None:
    init_keys(server, folder, PASSPHRASE)
    (folder / "root.pem").unlink()
    publish_release(server, folder, PASSPHRASE, make_bundle(), EVIDENCE)


def test_targets_that_this_key_has_not_signed_are_never_signed_along(
    server: Any, folder: Path, tmp_path: Path
) -> None:
    """Whoever can write here and on the server still gets no target past the key."""
    init_keys(server, folder, PASSPHRASE)
    stranger = keys.create(tmp_path / "stranger", "x").targets
    forged = ceremony.next_targets(
        server.targets, model="evil", release=1, manifest=b"", evidence=b"", now_utc=NOW
    )
    server.targets = ceremony._signed(ceremony.read_targets(forged), stranger)
    (folder / "targets.json").write_bytes(server.targets)
    seen = len(server.log)
    with pytest.raises(LamplighterError, match="SIGNATURE_INVALID"):
        publish_release(server, folder, PASSPHRASE, make_bundle(), EVIDENCE)
    assert len(server.log) == seen
