"""A stored file as it travels, chunk by chunk."""

from dataclasses import dataclass

from lamplighter_protocol.sealed import ChunkCipher
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

    def chunk(self, number: int) -> bytes:
        """Chunk `number`, counted from 0."""
        plain = self.objects.chunk(self.sha256, number)
        return plain if self.cipher is None else self.cipher.seal(number, plain)
