"""The client against a server of which nothing is believed."""

from pathlib import Path
from typing import Any

import pytest
from securesystemslib.signer import CryptoSigner
from tests.server.publishing.conftest import PASSPHRASE, make_bundle

from lamplighter_protocol.canonical import sha256
from lamplighter_protocol.errors import LamplighterError
from lamplighter_server.publishing import ceremony
from lamplighter_server.publishing.client import init_keys, next_release, publish_release

EVIDENCE = b'{"accuracy":1}'


class FakeApi:
    """Stores what it is given, in the order in which it came."""

    def __init__(self) -> None:
        key = CryptoSigner.generate_ed25519().public_key
        self.key = {"keyid": key.keyid, **key.to_dict()}
        self.targets = b""
        self.log: list[str] = []
        self.loses_the_answer = False

    def get(self, path: str) -> Any:
        if path.endswith("online-keys"):
            return {
                "snapshot": self.key,
                "timestamp": self.key,
                "director_public_pem": ["pem"],
                "epoch": 1,
            }
        raise LamplighterError("NOT_FOUND", "There is no such model.")

    def get_bytes(self, path: str) -> bytes:
        assert path.endswith("/targets.json")
        return self.targets

    def put(self, path: str, content: bytes) -> None:
        assert path.endswith(sha256(content))
        self.log.append("blob")

    def post(self, path: str, body: dict[str, str]) -> Any:
        self.targets = body["targets"].encode()
        self.log.append(path)
        if self.loses_the_answer:
            raise LamplighterError("SERVER_UNREACHABLE", "The connection was lost.")
        return {}


@pytest.fixture
def api(folder: Path) -> Any:
    server = FakeApi()
    init_keys(server, folder, PASSPHRASE)  # type: ignore[arg-type]
    return server


def test_files_come_first_so_that_nothing_is_half_published(api: Any, folder: Path) -> None:
    published = publish_release(api, folder, PASSPHRASE, make_bundle(), EVIDENCE)
    assert api.log == ["/api/v1/trust/bootstrap", *["blob"] * 4, "/api/v1/releases"]
    assert published.manifest_sha256 == make_bundle().sha256
    assert ceremony.read_targets(api.targets).version == 2
    publish_release(api, folder, PASSPHRASE, make_bundle(2), EVIDENCE)
    assert ceremony.read_targets(api.targets).version == 3


def test_a_lost_answer_is_recognised_the_next_time(api: Any, folder: Path) -> None:
    api.loses_the_answer = True
    with pytest.raises(LamplighterError, match="SERVER_UNREACHABLE"):
        publish_release(api, folder, PASSPHRASE, make_bundle(), EVIDENCE)
    api.loses_the_answer = False
    taken = api.targets
    publish_release(api, folder, PASSPHRASE, make_bundle(), EVIDENCE)
    assert api.targets == taken
    with pytest.raises(LamplighterError, match="RELEASE_IMMUTABLE"):
        publish_release(api, folder, PASSPHRASE, make_bundle(), b"{}")
    publish_release(api, folder, PASSPHRASE, make_bundle(2), EVIDENCE)


def test_a_server_with_other_targets_gets_no_signature(api: Any, folder: Path) -> None:
    api.targets = api.targets.replace(b'"version":1', b'"version":9')
    seen = len(api.log)
    with pytest.raises(LamplighterError, match="TRUST_REFUSED"):
        publish_release(api, folder, PASSPHRASE, make_bundle(), EVIDENCE)
    assert len(api.log) == seen


def test_a_wrong_passphrase_sends_nothing(api: Any, folder: Path) -> None:
    seen = len(api.log)
    with pytest.raises(LamplighterError, match="PASSPHRASE_WRONG"):
        publish_release(api, folder, "wrong", make_bundle(), EVIDENCE)
    assert len(api.log) == seen


def test_keys_are_initialised_once(api: Any, folder: Path) -> None:
    with pytest.raises(LamplighterError, match="CONFLICT"):
        init_keys(api, folder, PASSPHRASE)


def test_the_first_release_of_an_unknown_model_is_one(api: Any) -> None:
    assert next_release(api, "digits") == 1
