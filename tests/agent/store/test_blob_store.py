import errno
import functools
import os
import random
import resource
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lamplighter_agent.store.blobs import SYNC_BYTES, BlobStore
from lamplighter_protocol.blobs import BlobRef, describe, split
from lamplighter_protocol.errors import LamplighterError
from lamplighter_protocol.names import CHUNK_SIZE_BYTES

RAW = random.Random(7).randbytes(3 * CHUNK_SIZE_BYTES + 100)
BLOB = describe(RAW)
CHUNKS = list(split(RAW))


def put(store: BlobStore, raw: bytes) -> BlobRef:
    blob = describe(raw)
    partial = store.partial(blob)
    for number, chunk in enumerate(split(raw)):
        partial.write(number, chunk)
    partial.finish()
    partial.close()
    return blob


@pytest.mark.parametrize("raw", [b"", b"x", RAW, RAW[:CHUNK_SIZE_BYTES]])
def test_what_is_stored_comes_back_verified(tmp_path: Path, raw: bytes) -> None:
    store = BlobStore(tmp_path)
    blob = put(store, raw)
    assert store.has(blob.sha256)
    assert store.verified(blob.sha256).read_bytes() == raw


@given(st.permutations(range(4)), st.integers(0, 4))
def test_a_partial_blob_goes_on_where_it_stopped(
    tmp_path_factory: pytest.TempPathFactory, order: list[int], stop: int
) -> None:
    store = BlobStore(tmp_path_factory.mktemp("blobs"))
    partial = store.partial(BLOB)
    for number in order[:stop]:
        partial.write(number, CHUNKS[number])
    partial.close()
    again = store.partial(BLOB)
    assert again.lacking == set(order[stop:])
    for number in order[stop:]:
        again.write(number, CHUNKS[number])
    again.finish()
    again.close()
    assert store.verified(BLOB.sha256).read_bytes() == RAW


def test_bytes_that_a_power_cut_left_half_written_are_lacking(tmp_path: Path) -> None:
    store = BlobStore(tmp_path)
    partial = store.partial(BLOB)
    for number, chunk in enumerate(CHUNKS):
        partial.write(number, chunk)
    partial.close()
    file = tmp_path / "partial" / BLOB.sha256
    with file.open("r+b") as opened:
        opened.seek(CHUNK_SIZE_BYTES + 5)
        opened.write(b"\0\0\0")
        opened.truncate(2 * CHUNK_SIZE_BYTES + 7)
    again = store.partial(BLOB)
    assert again.lacking == {1, 2, 3}
    again.close()


@pytest.mark.parametrize(
    ("number", "payload"), [(0, CHUNKS[1]), (0, b""), (3, CHUNKS[3] + b"x"), (4, b""), (-1, b"")]
)
def test_a_bad_chunk_is_refused(tmp_path: Path, number: int, payload: bytes) -> None:
    partial = BlobStore(tmp_path).partial(BLOB)
    with pytest.raises(LamplighterError, match="CHUNK_REFUSED"):
        partial.write(number, payload)
    assert partial.lacking == {0, 1, 2, 3}
    partial.close()


def test_chunks_that_do_not_make_the_signed_file_are_never_used(tmp_path: Path) -> None:
    store = BlobStore(tmp_path)
    other = describe(RAW[::-1])
    lying = BlobRef(sha256=other.sha256, size_bytes=BLOB.size_bytes, chunk_sha256=BLOB.chunk_sha256)
    partial = store.partial(lying)
    for number, chunk in enumerate(CHUNKS):
        partial.write(number, chunk)
    partial.finish()
    partial.close()
    with pytest.raises(LamplighterError, match="STORE_CORRUPT"):
        store.verified(lying.sha256)
    assert not store.has(lying.sha256)


def test_a_damaged_blob_is_set_aside(tmp_path: Path) -> None:
    store = BlobStore(tmp_path)
    blob = put(store, RAW)
    store.verified(blob.sha256).write_bytes(RAW[:-1] + b"!")
    with pytest.raises(LamplighterError, match="STORE_CORRUPT"):
        store.verified(blob.sha256)
    assert not store.has(blob.sha256)
    put(store, RAW)
    assert store.verified(blob.sha256).read_bytes() == RAW


def test_a_missing_blob_is_an_expected_error(tmp_path: Path) -> None:
    with pytest.raises(LamplighterError, match="STORE_CORRUPT"):
        BlobStore(tmp_path).verified("0" * 64)


def test_garbage_is_what_nobody_keeps(tmp_path: Path) -> None:
    store = BlobStore(tmp_path)
    kept, gone = put(store, b"kept"), put(store, b"gone")
    store.partial(BLOB).close()
    assert store.collect_garbage({kept.sha256}) == 2
    assert (store.has(kept.sha256), store.has(gone.sha256)) == (True, False)
    assert store.size_bytes() == len(b"kept")


@given(st.sets(st.integers(0, 20)), st.sets(st.integers(0, 20)), st.sets(st.integers(0, 20)))
def test_garbage_collection_takes_all_but_what_is_kept(
    tmp_path_factory: pytest.TempPathFactory, there: set[int], coming: set[int], kept: set[int]
) -> None:
    store = BlobStore(tmp_path_factory.mktemp("store"), sync=False)
    blobs = {number: describe(b"%d" % number) for number in there | coming | kept}
    for number in there:
        put(store, b"%d" % number)
    for number in coming:
        store.partial(blobs[number]).close()
    store.collect_garbage({blobs[number].sha256 for number in kept})
    assert {number for number in blobs if store.has(blobs[number].sha256)} == there & kept
    left = {path.name for path in (store._partial).iterdir()}
    assert left == {blobs[number].sha256 for number in coming & kept}


def test_a_full_disk_keeps_what_is_there(tmp_path: Path) -> None:
    """A child process may write 100 kB per file: the second chunk does not fit."""
    script = textwrap.dedent(
        """
        import random, signal, sys
        from pathlib import Path
        from lamplighter_agent.store.blobs import BlobStore
        from lamplighter_protocol.blobs import describe, split
        from lamplighter_protocol.errors import LamplighterError
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        raw = random.Random(7).randbytes(3 * 65536 + 100)
        partial = BlobStore(Path(sys.argv[1])).partial(describe(raw))
        for number, chunk in enumerate(split(raw)):
            try:
                partial.write(number, chunk)
            except LamplighterError as error:
                print(number, error.code)
                break
        """
    )
    ran = subprocess.run(
        [sys.executable, "-c", script, str(tmp_path)],
        capture_output=True,
        text=True,
        check=True,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000)),
    )
    assert ran.stdout.split() == ["1", "DISK_FULL"]
    partial = BlobStore(tmp_path).partial(BLOB)
    assert partial.lacking == {1, 2, 3}
    partial.close()


def test_no_space_is_an_expected_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    partial = BlobStore(tmp_path).partial(BLOB)

    def full(*_: object) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "pwrite", full)
    with pytest.raises(LamplighterError, match="DISK_FULL"):
        partial.write(0, CHUNKS[0])
    partial.close()


@pytest.mark.parametrize("step", ["write", "finish"])
def test_after_a_failed_sync_nothing_that_was_read_back_is_believed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    store = BlobStore(tmp_path)
    raw = random.Random(8).randbytes(SYNC_BYTES)
    blob, chunks = describe(raw), list(split(raw))
    partial = store.partial(blob)
    for number, chunk in enumerate(chunks[:-1]):
        partial.write(number, chunk)

    def fails(*_: object) -> None:
        raise OSError(errno.EIO, "Input/output error")

    write_last = functools.partial(partial.write, len(chunks) - 1, chunks[-1])
    if step == "finish":
        write_last()
    with monkeypatch.context() as patched:
        patched.setattr(os, "fdatasync", fails)
        with pytest.raises(LamplighterError, match="DISK_FAILED"):
            (partial.finish if step == "finish" else write_last)()
    partial.close()
    assert not store.has(blob.sha256)
    again = store.partial(blob)
    assert again.lacking == set(range(len(chunks)))
    again.close()


def test_chunks_share_a_sync_and_the_whole_file_has_one_before_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, synced = BlobStore(tmp_path), []

    def sync(file: int) -> None:
        synced.append((os.fstat(file).st_size, store.has(blob.sha256)))

    monkeypatch.setattr(os, "fdatasync", sync)
    raw = random.Random(8).randbytes(2 * SYNC_BYTES + 100)
    blob = describe(raw)
    assert put(store, raw) == blob
    assert synced == [(SYNC_BYTES, False), (2 * SYNC_BYTES, False), (len(raw), False)]


def test_a_file_that_cannot_be_read_is_set_aside_to_be_fetched_again(tmp_path: Path) -> None:
    store = BlobStore(tmp_path)
    (tmp_path / "sha256" / BLOB.sha256).mkdir()
    with pytest.raises(LamplighterError, match="STORE_CORRUPT"):
        store.verified(BLOB.sha256)
    assert not store.has(BLOB.sha256)
