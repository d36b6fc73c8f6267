"""Fetches blobs into the store, one at a time, and knows which are wanted."""

import asyncio
from collections.abc import Callable, Iterable

from lamplighter_agent.link.chunks import ChunkPuller
from lamplighter_agent.link.sealed import Wanted
from lamplighter_agent.ports.transport import Transport
from lamplighter_agent.store.blobs import BlobStore
from lamplighter_protocol.errors import LamplighterError
from lamplighter_protocol.topics import Topics


class Fetcher:
    """Brings blobs from the broker into the store.

    Args:
        blobs: The store.
        topics: Topics of the fleet.
        transport: The link.
        on_refused: Told of each bad chunk.
        on_wants: Told when `wants` has changed.
        stall_s: How long nothing may come before chunks are asked for again.
    """

    def __init__(
        self,
        blobs: BlobStore,
        topics: Topics,
        transport: Transport,
        *,
        on_refused: Callable[[LamplighterError], None],
        on_wants: Callable[[], None],
        stall_s: float,
    ) -> None:
        self._blobs = blobs
        self._topics = topics
        self._transport = transport
        self._on_refused = on_refused
        self._on_wants = on_wants
        self._stall_s = stall_s
        self._one_at_a_time = asyncio.Lock()
        self._puller: ChunkPuller | None = None
        self._pulled = ""
        self.wants: frozenset[str] = frozenset()
        """Digests, as they travel, of the blobs that are still wanted; a report brings them to the
        broker."""

    async def fetch(self, wanted: Iterable[Wanted]) -> None:
        """Fetch what is missing of `wanted`.

        Raises:
            LamplighterError: FETCH_STALLED, CHUNK_REFUSED, DISK_FULL: all may succeed later and
                go on where they stopped.
        """
        missing = [item for item in wanted if not self._blobs.has(item.blob.sha256)]
        self._want(self.wants | {item.wire_sha256 for item in missing})
        try:
            for item in missing:
                async with self._one_at_a_time:
                    if not self._blobs.has(item.blob.sha256):
                        await self._pull(item)
                self._want(self.wants - {item.wire_sha256})
        finally:
            self._want(self.wants - {item.wire_sha256 for item in missing})

    def _want(self, digests: frozenset[str]) -> None:
        if digests != self.wants:
            self.wants = digests
            self._on_wants()

    async def _pull(self, wanted: Wanted) -> None:
        partial = await asyncio.to_thread(self._blobs.partial, wanted.blob)
        try:
            self._puller = ChunkPuller(
                wanted.sink(partial),
                self._topics,
                self._transport,
                self._on_refused,
                stall_s=self._stall_s,
            )
            self._pulled = wanted.wire_sha256
            await self._puller.run()
            await asyncio.to_thread(partial.finish)
        finally:
            self._puller = None
            partial.close()

    def on_chunk(self, digest: str, number: int, payload: bytes) -> None:
        """Hand one message of a blob topic to whoever waits for it."""
        if self._puller is not None and digest == self._pulled:
            self._puller.on_chunk(number, payload)

    def on_connected(self) -> None:
        """Ask again for what was outstanding when the connection was lost."""
        if self._puller is not None:
            self._puller.ask_again()
