import hashlib
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from lamplighter_protocol.errors import LamplighterError
from lamplighter_protocol.names import CHUNK_SIZE_BYTES
from lamplighter_server.blobs.objects import ObjectStore


async def parts(*content: bytes) -> AsyncIterator[bytes]:
    for part in content:
        yield part


def files_in(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()]


@pytest.mark.parametrize("size", [0, 1, CHUNK_SIZE_BYTES, CHUNK_SIZE_BYTES + 1])
async def test_chunks_make_up_the_object(tmp_path: Path, size: int) -> None:
    store, content = ObjectStore(tmp_path), bytes(range(256)) * (size // 256 + 1)
    content = content[:size]
    digest = hashlib.sha256(content).hexdigest()
    assert await store.put(digest, parts(content[:7], content[7:]))
    assert not await store.put(digest, parts(b"not even read"))
    chunks = [store.chunk(digest, number) for number in range(store.chunk_count(digest))]
    assert b"".join(chunks) == content == store.read(digest)
    assert all(len(chunk) == CHUNK_SIZE_BYTES for chunk in chunks[:-1])
    assert store.size_bytes(digest) == size


async def test_what_is_refused_leaves_nothing_behind(tmp_path: Path) -> None:
    store, digest = ObjectStore(tmp_path), "a" * 64
    with pytest.raises(LamplighterError, match="BLOB_REFUSED"):
        await store.put(digest, parts(b"other"))

    async def broken() -> AsyncIterator[bytes]:
        yield b"half"
        raise ConnectionResetError

    with pytest.raises(ConnectionResetError):
        await store.put(digest, broken())
    assert not store.has(digest)
    assert files_in(tmp_path) == []
    for read in (store.read, store.size_bytes, store.chunk_count):
        with pytest.raises(LamplighterError, match="NOT_FOUND"):
            read(digest)
