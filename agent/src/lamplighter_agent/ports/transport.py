"""What fetching asks of a transport, of a link to a broker, and of a store."""

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

    @property
    def overhead_bytes(self) -> int:
        """How much longer each chunk is as it travels."""

    def write(self, number: int, payload: bytes) -> None:
        """Check one chunk and store it durably.

        Raises:
            LamplighterError: CHUNK_REFUSED, DISK_FULL.
        """


class Allowance(Protocol):
    """What may be asked for, and when."""

    def admit(self, size_bytes: int) -> float:
        """Ask before something is asked for.

        Returns:
            0 if it may be asked for now, else the seconds after which to ask again.

        Raises:
            LamplighterError: BUDGET_SPENT.
        """

    def arrived(self, size_bytes: int) -> None:
        """Count what has come, of use or not."""


class Way(Protocol):
    """One transport of files."""

    async def pull(self, sink: ChunkSink, allowance: Allowance) -> None:
        """Bring what is lacking; what has come stays in the sink, whatever happens.

        It ends between two chunks if it is cancelled.

        Raises:
            LamplighterError: FETCH_STALLED, FETCH_REFUSED or CHUNK_REFUSED if this way does not
                bring it; DISK_FULL or BUDGET_SPENT if none would.
        """
