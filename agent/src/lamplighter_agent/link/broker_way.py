"""Files in retained chunks from the broker: the way that costs the server least."""

from collections.abc import Callable

from lamplighter_agent.link.chunks import ChunkPuller
from lamplighter_agent.ports.transport import Allowance, ChunkSink, Transport
from lamplighter_protocol.errors import LamplighterError
from lamplighter_protocol.topics import Topics


class BrokerWay:
    """Implements ports.transport.Way; one file at a time.

    Args:
        topics: Topics of the fleet.
        transport: The link.
        on_refused: Told of each bad chunk.
        stall_s: How long nothing may come before chunks are asked for again.
    """

    def __init__(
        self,
        topics: Topics,
        transport: Transport,
        on_refused: Callable[[LamplighterError], None],
        *,
        stall_s: float,
    ) -> None:
        self._topics = topics
        self._transport = transport
        self._on_refused = on_refused
        self._stall_s = stall_s
        self._puller: ChunkPuller | None = None
        self._allowance: Allowance | None = None
        self._pulled = ""

    async def pull(self, sink: ChunkSink, allowance: Allowance) -> None:
        """See ports.transport."""
        try:
            self._puller = ChunkPuller(
                sink,
                self._topics,
                self._transport,
                allowance,
                self._on_refused,
                stall_s=self._stall_s,
            )
            self._allowance, self._pulled = allowance, sink.wire_sha256
            await self._puller.run()
        finally:
            self._puller = None

    def on_chunk(self, digest: str, number: int, payload: bytes) -> None:
        """Hand one message of a blob topic to whoever waits for it."""
        if self._allowance is not None:
            self._allowance.arrived(len(payload))
        if self._puller is not None and digest == self._pulled:
            self._puller.on_chunk(number, payload)

    def on_connected(self) -> None:
        """Ask again for what was outstanding when the connection was lost."""
        if self._puller is not None:
            self._puller.ask_again()
