"""A file to fetch, and the form in which it travels."""

from collections.abc import Set as AbstractSet
from dataclasses import dataclass

from lamplighter_agent.ports.transport import ChunkSink
from lamplighter_protocol.assignment import PatchKind
from lamplighter_protocol.blobs import BlobRef
from lamplighter_protocol.sealed import TAG_BYTES, ChunkCipher


@dataclass(frozen=True)
class Patch:
    """What makes a file out of one that is there.

    Attributes:
        kind: Its form.
        blob: The patch itself, a file of its own on the wire.
        base_sha256: What it starts from; None if from nothing.
    """

    kind: PatchKind
    blob: BlobRef
    base_sha256: str | None


@dataclass(frozen=True)
class Wanted:
    """A blob to fetch, and the form in which it travels.

    Attributes:
        blob: What was signed of the plain file.
        wire_sha256: The digest under which its chunks travel.
        cipher: Opens them; None if they travel as they are.
        patch: Tried first, if there is one; what it does not make right is fetched.
    """

    blob: BlobRef
    wire_sha256: str
    cipher: ChunkCipher | None = None
    patch: Patch | None = None

    @property
    def touches(self) -> frozenset[str]:
        """Digests of the files in the store that fetching it writes or reads."""
        if self.patch is None:
            return frozenset({self.blob.sha256})
        base = {self.patch.base_sha256} if self.patch.base_sha256 else frozenset[str]()
        return frozenset({self.blob.sha256, self.patch.blob.sha256, *base})

    def sink(self, plain: ChunkSink) -> ChunkSink:
        """Where the chunks go as they come, so that they end in `plain`."""
        return plain if self.cipher is None else _Opener(plain, self.wire_sha256, self.cipher)


class _Opener:
    """A ChunkSink before another: each chunk is opened when it comes, then checked as any other."""

    def __init__(self, plain: ChunkSink, wire_sha256: str, cipher: ChunkCipher) -> None:
        self.blob = plain.blob
        self.wire_sha256 = wire_sha256
        self._plain = plain
        self._cipher = cipher
        self.overhead_bytes = TAG_BYTES

    @property
    def lacking(self) -> AbstractSet[int]:
        return self._plain.lacking

    def write(self, number: int, payload: bytes) -> None:
        self._plain.write(number, self._cipher.open(number, payload))
