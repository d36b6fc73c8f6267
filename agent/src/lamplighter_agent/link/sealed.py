"""A blob that travels sealed: each chunk is opened when it arrives, and checked as any other."""

from collections.abc import Set as AbstractSet
from dataclasses import dataclass

from lamplighter_agent.ports.transport import ChunkSink
from lamplighter_protocol.blobs import BlobRef
from lamplighter_protocol.sealed import ChunkCipher


@dataclass(frozen=True)
class Wanted:
    """A blob to fetch, and the form in which it travels.

    Attributes:
        blob: What was signed of the plain file.
        wire_sha256: The digest under which its chunks travel.
        cipher: Opens them; None if they travel as they are.
    """

    blob: BlobRef
    wire_sha256: str
    cipher: ChunkCipher | None = None

    def sink(self, plain: ChunkSink) -> ChunkSink:
        """Where the chunks go as they come, so that they end in `plain`."""
        return plain if self.cipher is None else _Opener(plain, self.wire_sha256, self.cipher)


class _Opener:
    """A ChunkSink before another."""

    def __init__(self, plain: ChunkSink, wire_sha256: str, cipher: ChunkCipher) -> None:
        self.blob = plain.blob
        self.wire_sha256 = wire_sha256
        self._plain = plain
        self._cipher = cipher

    @property
    def lacking(self) -> AbstractSet[int]:
        return self._plain.lacking

    def write(self, number: int, payload: bytes) -> None:
        self._plain.write(number, self._cipher.open(number, payload))
