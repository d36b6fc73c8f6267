from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from securesystemslib.signer import CryptoSigner
from tuf.api.exceptions import DownloadHTTPError
from tuf.api.metadata import Metadata, MetaFile, Snapshot, Timestamp
from tuf.ngclient import FetcherInterface, Updater

from lamplighter_protocol.errors import LamplighterError
from lamplighter_protocol.names import DIRECTOR_KEYS_TARGET, manifest_target
from lamplighter_server.publishing import ceremony
from lamplighter_server.publishing.keys import OfflineKeys

NOW = datetime.now(UTC)
ONLINE = CryptoSigner.generate_ed25519()


class Files(FetcherInterface):
    """Serves metadata from memory."""

    def __init__(self, files: dict[str, bytes]) -> None:
        self.files = files

    def _fetch(self, url: str) -> Iterator[bytes]:
        name = url.rpartition("/")[2]
        if name not in self.files:
            raise DownloadHTTPError(name, 404)
        yield self.files[name]


def repository(offline: OfflineKeys, targets: bytes) -> tuple[bytes, dict[str, bytes]]:
    """Root and files as a server would publish them around signed targets."""
    key = ONLINE.public_key
    root = ceremony.first_root(
        root=offline.root,
        targets=offline.targets.public_key,
        snapshot=key,
        timestamp=key,
        now_utc=NOW,
    )
    version = ceremony.read_targets(targets).version
    later = NOW + timedelta(days=1)
    snapshot = Metadata(Snapshot(expires=later, meta={"targets.json": MetaFile(version)}))
    snapshot.sign(ONLINE)
    timestamp = Metadata(Timestamp(expires=later, snapshot_meta=MetaFile(1)))
    timestamp.sign(ONLINE)
    return root, {
        f"{version}.targets.json": targets,
        "1.snapshot.json": snapshot.to_bytes(),
        "timestamp.json": timestamp.to_bytes(),
    }


def updater(tmp_path: Path, root: bytes, files: dict[str, bytes]) -> Updater:
    client = Updater(
        str(tmp_path), "http://x/", target_dir=None, fetcher=Files(files), bootstrap=root
    )
    client.refresh()
    return client


def first(offline: OfflineKeys) -> bytes:
    return ceremony.first_targets(b"director", signer=offline.targets, now_utc=NOW)


def second(offline: OfflineKeys, previous: bytes, release: int = 1) -> bytes:
    return ceremony.sign_next(previous, unsigned(previous, release), offline.targets)


def unsigned(previous: bytes, release: int = 1, manifest: bytes = b"manifest") -> bytes:
    return ceremony.next_targets(
        previous,
        model="digits",
        release=release,
        manifest=manifest,
        evidence=b"evidence",
        now_utc=NOW,
    )


def test_a_tuf_client_accepts_what_was_signed(tmp_path: Path, offline: OfflineKeys) -> None:
    client = updater(tmp_path, *repository(offline, second(offline, first(offline))))
    found = client.get_targetinfo(manifest_target("digits", 1))
    assert found is not None
    assert found.length == len(b"manifest")
    assert found.custom == {"model": "digits", "release": 1}
    assert client.get_targetinfo(DIRECTOR_KEYS_TARGET) is not None
    assert client.get_targetinfo(manifest_target("digits", 2)) is None


def test_targets_by_a_stranger_are_refused_by_a_tuf_client(
    tmp_path: Path, offline: OfflineKeys
) -> None:
    from tuf.api.exceptions import RepositoryError

    stranger = ceremony.first_targets(
        b"director", signer=CryptoSigner.generate_ed25519(), now_utc=NOW
    )
    with pytest.raises(RepositoryError):
        updater(tmp_path, *repository(offline, stranger))


def test_what_changes_is_said_in_words(offline: OfflineKeys) -> None:
    old = first(offline)
    lines = ceremony.changes(old, second(offline, old))
    assert lines[0] == "targets version 1 -> 2"
    assert [line.split()[:2] for line in lines[1:]] == [
        ["+", "models/digits/1/bundle.json"],
        ["+", "models/digits/1/evidence.json"],
    ]
    assert ceremony.changes(second(offline, old), old)[1].startswith("- models/digits/1/")


def test_a_signed_release_is_never_signed_again(offline: OfflineKeys) -> None:
    signed = second(offline, first(offline))
    assert unsigned(signed) == signed
    with pytest.raises(LamplighterError, match="RELEASE_IMMUTABLE"):
        unsigned(signed, manifest=b"other")


@pytest.mark.parametrize("document", [{}, {"keyid": "a"}, {"keyid": "a", "keytype": 3}])
def test_what_is_no_key_is_refused(document: dict[str, object]) -> None:
    with pytest.raises(LamplighterError, match="MESSAGE_MALFORMED"):
        ceremony.read_key(document)
