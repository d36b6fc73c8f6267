"""The publishing client, the real server, and what a real TUF client makes of it."""

from collections.abc import Callable
from pathlib import Path

import pytest
from tests.server.publishing.conftest import (
    EVIDENCE,
    PASSPHRASE,
    TOKEN,
    Device,
    LosesAnswers,
    make_bundle,
)

from lamplighter_converters.pack import Bundle
from lamplighter_protocol.errors import LamplighterError
from lamplighter_protocol.names import DIRECTOR_KEYS_TARGET, evidence_target, manifest_target
from lamplighter_server.cli.api import Api
from lamplighter_server.publishing.client import init_keys, next_release, publish_release
from lamplighter_server.publishing.keys import KeyRing


def test_a_tuf_client_accepts_what_was_published(
    established: Path, api: Api, make_device: Callable[[], Device]
) -> None:
    device = make_device()
    assert device.knows(DIRECTOR_KEYS_TARGET)
    for release in (1, 2):
        assert next_release(api, "digits") == release
        bundle = make_bundle(release)
        published = publish_release(api, established, PASSPHRASE, bundle, EVIDENCE)
        assert published.manifest_sha256 == bundle.sha256
        found = device.refresh().get_targetinfo(manifest_target("digits", release))
        assert found is not None
        found.verify_length_and_hashes(bundle.manifest_raw)
        assert found.custom == {"model": "digits", "release": release}
    told = device.refresh().get_targetinfo(evidence_target("digits", 2))
    assert told is not None
    told.verify_length_and_hashes(EVIDENCE)


def test_lost_answers_lose_nothing_and_repeats_change_nothing(
    folder: Path, lossy: Api, api: Api
) -> None:
    with pytest.raises(LamplighterError, match="SERVER_UNREACHABLE"):
        init_keys(lossy, folder, PASSPHRASE)
    init_keys(api, folder, PASSPHRASE)
    with pytest.raises(LamplighterError, match="SERVER_UNREACHABLE"):
        publish_release(lossy, folder, PASSPHRASE, make_bundle(), EVIDENCE)
    published = api.get_bytes("/api/v1/trust/files/targets.json")
    for _ in range(2):
        publish_release(api, folder, PASSPHRASE, make_bundle(), EVIDENCE)
    assert api.get_bytes("/api/v1/trust/files/targets.json") == published
    with pytest.raises(LamplighterError, match="RELEASE_IMMUTABLE"):
        publish_release(api, folder, PASSPHRASE, make_bundle(), b"{}")
    assert next_release(api, "digits") == 2
    publish_release(api, folder, PASSPHRASE, make_bundle(2), EVIDENCE)


class Deaf(LosesAnswers):
    """Nothing that changes anything reaches the server."""

    def post(self, path: str, body: object) -> None:
        raise LamplighterError("SERVER_UNREACHABLE", "The connection was lost.")


def test_a_signature_that_never_arrived_is_sent_again_unchanged(
    folder: Path, address: str, api: Api
) -> None:
    with Deaf(address, TOKEN) as deaf:
        with pytest.raises(LamplighterError, match="SERVER_UNREACHABLE"):
            init_keys(deaf, folder, PASSPHRASE)
        made = KeyRing(folder).keyids
        init_keys(api, folder, "not asked for")
        assert KeyRing(folder).keyids == made
        with pytest.raises(LamplighterError, match="SERVER_UNREACHABLE"):
            publish_release(deaf, folder, PASSPHRASE, make_bundle(), EVIDENCE)
    publish_release(api, folder, "not asked for", make_bundle(), EVIDENCE)
    assert next_release(api, "digits") == 2


class Refusing(Api):
    def post(self, path: str, body: object) -> None:
        raise LamplighterError("TRUST_REFUSED", "No.")


def test_a_refused_first_signature_is_made_anew_with_the_same_keys(
    folder: Path, address: str, api: Api
) -> None:
    with Refusing(address, TOKEN) as refusing, pytest.raises(LamplighterError, match="No."):
        init_keys(refusing, folder, PASSPHRASE)
    made = KeyRing(folder).keyids
    with pytest.raises(LamplighterError, match="PASSPHRASE_WRONG"):
        init_keys(api, folder, "wrong")
    init_keys(api, folder, PASSPHRASE)
    assert KeyRing(folder).keyids == made
    with pytest.raises(LamplighterError, match="CONFLICT"):
        init_keys(api, folder, PASSPHRASE)


def test_a_second_publisher_with_other_keys_is_refused(
    tmp_path: Path, established: Path, api: Api
) -> None:
    with pytest.raises(LamplighterError, match="CONFLICT"):
        init_keys(api, tmp_path / "other", PASSPHRASE)
    with pytest.raises(LamplighterError, match="TRUST_REFUSED"):
        publish_release(api, tmp_path / "other", PASSPHRASE, make_bundle(), EVIDENCE)


def test_a_wrong_passphrase_changes_nothing(established: Path, api: Api) -> None:
    with pytest.raises(LamplighterError, match="PASSPHRASE_WRONG"):
        publish_release(api, established, "wrong", make_bundle(), EVIDENCE)
    assert next_release(api, "digits") == 1
    publish_release(api, established, PASSPHRASE, make_bundle(), EVIDENCE)


def test_publishing_needs_no_root_key(established: Path, api: Api) -> None:
    ring = KeyRing(established)
    ring.retire({key.keyid for key in ring.made_for("root")})
    assert not list(established.glob("root-*.pem"))
    publish_release(api, established, PASSPHRASE, make_bundle(), EVIDENCE)


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
    established: Path, api: Api, files: dict[str, bytes]
) -> None:
    sound = make_bundle()
    tampered = Bundle(manifest=sound.manifest, manifest_raw=sound.manifest_raw, files=files)
    with pytest.raises(LamplighterError, match="TRUST_REFUSED"):
        publish_release(api, established, PASSPHRASE, tampered, EVIDENCE)
    assert next_release(api, "digits") == 1


def test_without_a_token_or_a_server_the_reason_is_given(
    folder: Path, address: str, free_port: Callable[[], int]
) -> None:
    with Api(address) as stranger, pytest.raises(LamplighterError) as refused:
        init_keys(stranger, folder, PASSPHRASE)
    assert refused.value.code == "NOT_AUTHORISED"
    with Api(address, TOKEN) as friend:
        init_keys(friend, folder, PASSPHRASE)
    nowhere = f"http://127.0.0.1:{free_port()}"
    with Api(nowhere, TOKEN) as nobody, pytest.raises(LamplighterError) as unreachable:
        next_release(nobody, "digits")
    assert unreachable.value.code == "SERVER_UNREACHABLE"
