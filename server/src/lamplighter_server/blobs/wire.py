"""A stored file as it travels, chunk by chunk."""

from collections.abc import Iterator
from dataclasses import dataclass

from lamplighter_protocol.names import CHUNK_SIZE_BYTES
from lamplighter_protocol.sealed import TAG_BYTES, ChunkCipher, sealed_size_bytes
from lamplighter_server.blobs.objects import ObjectStore


@dataclass(frozen=True)
class WireForm:
    """What is published under one digest.

    Attributes:
        objects: Where the plain file is.
        sha256: Which one it is.
        cipher: Seals its chunks on the way; None if they travel as they are.
    """

    objects: ObjectStore
    sha256: str
    cipher: ChunkCipher | None

    @property
    def chunk_count(self) -> int:
        """How many chunks travel."""
        return self.objects.chunk_count(self.sha256)

    @property
    def size_bytes(self) -> int:
        """How many bytes travel."""
        plain = self.objects.size_bytes(self.sha256)
        return plain if self.cipher is None else sealed_size_bytes(plain)

    def chunk(self, number: int) -> bytes:
        """Chunk `number`, counted from 0."""
        plain = self.objects.chunk(self.sha256, number)
        return plain if self.cipher is None else self.cipher.seal(number, plain)

    def read(self, span: range) -> Iterator[bytes]:
        """Some of its bytes, in parts of at most one chunk."""
        unit = CHUNK_SIZE_BYTES if self.cipher is None else CHUNK_SIZE_BYTES + TAG_BYTES
        for number in range(span.start // unit, -(-span.stop // unit)):
            start = number * unit
            yield self.chunk(number)[max(0, span.start - start) : span.stop - start]
