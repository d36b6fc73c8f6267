"""Somebody has the SD card in hand for a minute, or writes into the data folder."""

from pathlib import Path

import pytest

from lamplighter_agent.store.blobs import BlobStore
from lamplighter_agent.trust.refresh import Trust, TrustDirs
from lamplighter_protocol.blobs import describe
from lamplighter_protocol.errors import LamplighterError

GOOD, EVIL = b"the signed model", b"a poisoned model"
BLOB = describe(GOOD)


@pytest.fixture
def store(tmp_path: Path) -> BlobStore:
    store = BlobStore(tmp_path / "blobs")
    partial = store.partial(BLOB)
    partial.write(0, GOOD)
    partial.finish()
    partial.close()
    return store


def test_a_file_that_was_swapped_on_the_card_is_not_run(store: BlobStore) -> None:
    store.verified(BLOB.sha256).write_bytes(EVIL)
    with pytest.raises(LamplighterError, match="STORE_CORRUPT"):
        store.verified(BLOB.sha256)
    assert not store.has(BLOB.sha256)


def test_a_link_to_other_bytes_is_not_run(store: BlobStore, tmp_path: Path) -> None:
    (tmp_path / "evil").write_bytes(EVIL)
    place = store.verified(BLOB.sha256)
    place.unlink()
    place.symlink_to(tmp_path / "evil")
    with pytest.raises(LamplighterError, match="STORE_CORRUPT"):
        store.verified(BLOB.sha256)


def test_a_link_in_place_of_a_download_is_not_written_through(tmp_path: Path) -> None:
    store, outside = BlobStore(tmp_path / "blobs"), tmp_path / "outside"
    outside.write_bytes(b"precious")
    (tmp_path / "blobs" / "partial" / BLOB.sha256).symlink_to(outside)
    with pytest.raises(LamplighterError, match="STORE_CORRUPT"):
        store.partial(BLOB)
    assert outside.read_bytes() == b"precious"
    partial = store.partial(BLOB)  # the link is gone: the next attempt begins anew
    partial.write(0, GOOD)
    partial.finish()
    partial.close()
    assert store.verified(BLOB.sha256).read_bytes() == GOOD


def test_a_link_in_the_inbox_is_replaced_and_not_followed(tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.write_bytes(b"precious")
    dirs = TrustDirs(tmp_path / "store", tmp_path / "inbox", tmp_path / "root.json")
    dirs.inbox.mkdir()
    for name in ("1.root.json", "1.root.json~"):
        (dirs.inbox / name).symlink_to(outside)
    Trust(dirs).take("1.root.json", b"{}")
    assert outside.read_bytes() == b"precious"
    assert (dirs.inbox / "1.root.json").read_bytes() == b"{}"
