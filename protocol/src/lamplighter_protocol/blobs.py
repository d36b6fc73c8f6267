"""Content-addressed files in 64 KiB chunks: a bad chunk is refused when it arrives."""

from collections.abc import Iterator
from typing import Final

import msgspec

from lamplighter_protocol.canonical import sha256
from lamplighter_protocol.errors import LamplighterError
from lamplighter_protocol.names import CHUNK_SIZE_BYTES, MAX_BLOB_BYTES, Count, Sha256

#: Where the devices' door serves what travels, by its digest there.
DOOR_PATH: Final = "/api/v1/blobs/"


def count_chunks(size_bytes: int) -> int:
    """How many chunks a file has; 0 if it is empty."""
    return -(-size_bytes // CHUNK_SIZE_BYTES)


def chunk_size_bytes(size_bytes: int, number: int) -> int:
    """The length of chunk `number`, counted from 0, of a file of `size_bytes`."""
    return min(CHUNK_SIZE_BYTES, size_bytes - number * CHUNK_SIZE_BYTES)


class BlobRef(msgspec.Struct, frozen=True, kw_only=True):
    """What was signed of a file: its digest, its length and the digest of each chunk."""

    sha256: Sha256
    size_bytes: Count
    chunk_sha256: tuple[Sha256, ...]

    def __post_init__(self) -> None:
        wanted = count_chunks(self.size_bytes)
        if len(self.chunk_sha256) != wanted or self.size_bytes > MAX_BLOB_BYTES:
            raise ValueError(f"{self.size_bytes} bytes do not make {len(self.chunk_sha256)} chunks")

    @property
    def chunk_count(self) -> int:
        """How many chunks the blob has; 0 for an empty file."""
        return len(self.chunk_sha256)

    def chunk_size_bytes(self, number: int) -> int:
        """The signed length of chunk `number`, counted from 0."""
        return chunk_size_bytes(self.size_bytes, number)


def split(raw: bytes) -> Iterator[bytes]:
    """Yield the chunks of `raw` in order; the last may be shorter."""
    for start in range(0, len(raw), CHUNK_SIZE_BYTES):
        yield raw[start : start + CHUNK_SIZE_BYTES]


def describe(raw: bytes) -> BlobRef:
    """Compute the BlobRef of `raw`."""
    return BlobRef(
        sha256=sha256(raw),
        size_bytes=len(raw),
        chunk_sha256=tuple(sha256(chunk) for chunk in split(raw)),
    )


def check_chunk(blob: BlobRef, number: int, payload: bytes) -> None:
    """Refuse a chunk that is not the signed one.

    Raises:
        LamplighterError: CHUNK_REFUSED.
    """
    if not 0 <= number < blob.chunk_count:
        raise LamplighterError("CHUNK_REFUSED", f"Blob {blob.sha256[:12]} has no chunk {number}.")
    if len(payload) != blob.chunk_size_bytes(number) or (
        sha256(payload) != blob.chunk_sha256[number]
    ):
        raise LamplighterError(
            "CHUNK_REFUSED", f"Chunk {number} of blob {blob.sha256[:12]} is not what was signed."
        )
