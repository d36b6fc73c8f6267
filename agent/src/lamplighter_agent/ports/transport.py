"""What fetching asks of a link to a broker and of a store."""

from collections.abc import Sequence
from collections.abc import Set as AbstractSet
from typing import Protocol

from lamplighter_protocol.blobs import BlobRef


class Transport(Protocol):
    """Subscriptions of one connection. Calls return at once; without a connection they do nothing.

    Whoever subscribes subscribes again after a reconnect: sessions do not outlive connections.
    """

    def subscribe(self, topics: Sequence[str], qos: int = 0) -> None:
        """Ask for several topics in one packet; retained messages come again."""

    def unsubscribe(self, topics: Sequence[str]) -> None:
        """Leave several topics in one packet."""


class ChunkSink(Protocol):
    """Where the chunks of one blob go."""

    @property
    def blob(self) -> BlobRef:
        """What was signed of the file."""

    @property
    def wire_sha256(self) -> str:
        """The digest under which its chunks travel."""

    @property
    def lacking(self) -> AbstractSet[int]:
        """Numbers of the chunks that are not there yet."""

    def write(self, number: int, payload: bytes) -> None:
        """Check one chunk and store it durably.

        Raises:
            LamplighterError: CHUNK_REFUSED, DISK_FULL.
        """
