"""Pulling one blob: a few chunk topics at a time, so that a slow link fills nobody's memory.

The transport hands each chunk in by a plain call; there is no task and no queue per message.
"""

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Final

from lamplighter_agent.ports.transport import Allowance, ChunkSink, Transport
from lamplighter_protocol.errors import LamplighterError
from lamplighter_protocol.topics import Topics

WINDOW_CHUNKS: Final = 8
#: So many topics are left in one packet; until then the broker keeps idle subscriptions.
LEAVE_BATCH_CHUNKS: Final = 64
STALL_S: Final = 10.0
MAX_STALLS: Final = 3
#: How many bad chunks are asked for again at once before waiting for the next stall.
MAX_REFUSALS: Final = 3


class ChunkPuller:
    """Pulls the lacking chunks of one blob.

    Lost chunks are asked for again when nothing has come for `stall_s`, so QoS 0 is enough.

    Args:
        sink: Where verified chunks go; tells which are lacking.
        topics: Topics of the fleet.
        transport: The link.
        allowance: What may be asked for, and when.
        on_refused: Told of each bad chunk.
        window: How many chunks may be outstanding.
        stall_s: How long nothing may come before the outstanding ones are asked for again.
    """

    def __init__(
        self,
        sink: ChunkSink,
        topics: Topics,
        transport: Transport,
        allowance: Allowance,
        on_refused: Callable[[LamplighterError], None],
        *,
        window: int = WINDOW_CHUNKS,
        stall_s: float = STALL_S,
    ) -> None:
        self._sink = sink
        self._topics = topics
        self._transport = transport
        self._allowance = allowance
        self._on_refused = on_refused
        self._window = window
        self._stall_s = stall_s
        self._waiting = deque(sorted(sink.lacking))
        self._outstanding: set[int] = set()
        self._arrived: list[int] = []
        self._refusals = 0
        self._progress = 0
        self._end: asyncio.Future[None] | None = None
        self._later: asyncio.TimerHandle | None = None
        self._spent: LamplighterError | None = None

    async def run(self) -> None:
        """Pull until nothing is lacking.

        Raises:
            LamplighterError: FETCH_STALLED or CHUNK_REFUSED after MAX_STALLS time-outs in a row
                without a good chunk, DISK_FULL or BUDGET_SPENT. What has come stays in the store.
        """
        self._end = asyncio.get_running_loop().create_future()
        try:
            if self._sink.lacking:
                self._ask()
                await self._wait(self._end)
        finally:
            self._end = None
            if self._later is not None:
                self._later.cancel()
            self._leave([*self._arrived, *self._outstanding])

    async def _wait(self, end: "asyncio.Future[None]") -> None:
        stalls = refused = 0
        while stalls < MAX_STALLS:
            seen = self._progress
            done, _ = await asyncio.wait({end}, timeout=self._stall_s)
            if done:
                return end.result()
            if self._progress == seen and self._outstanding:
                stalls += 1
                refused, self._refusals = self._refusals, 0
                self.ask_again()
            else:
                stalls = 0
        blob = self._sink.blob
        if refused:
            raise LamplighterError(
                "CHUNK_REFUSED",
                f"Blob {blob.sha256[:12]}: every chunk that comes is not what was signed.",
            )
        raise LamplighterError(
            "FETCH_STALLED",
            f"Blob {blob.sha256[:12]} lacks {len(self._sink.lacking)} of {blob.chunk_count} chunks "
            f"and none came for {self._stall_s * MAX_STALLS:.0f} s.",
        )

    def ask_again(self) -> None:
        """Subscribe once more to what is outstanding: after a stall or a reconnect."""
        self._subscribe(self._outstanding)

    def on_chunk(self, number: int, payload: bytes) -> None:
        """Take one message of this blob's topics, in the event loop; never raises."""
        if self._end is None or self._end.done() or number not in self._outstanding or not payload:
            return  # late, repeated, or the topic was cleared
        try:
            self._sink.write(number, payload)
        except LamplighterError as error:
            self._refuse(number, error)
            return
        self._progress += 1
        self._outstanding.remove(number)
        self._arrived.append(number)
        if not self._sink.lacking:
            self._end.set_result(None)
        elif len(self._outstanding) <= self._window // 2:
            self._ask()
        self._end_if_spent()

    def _refuse(self, number: int, error: LamplighterError) -> None:
        if error.code != "CHUNK_REFUSED":
            assert self._end is not None  # noqa: S101 - on_chunk has checked
            self._end.set_exception(error)
            return
        self._refusals += 1
        self._on_refused(error)
        if self._refusals <= MAX_REFUSALS:
            self._subscribe({number})

    def _ask(self) -> None:
        room = min(self._window - len(self._outstanding), len(self._waiting))
        if not room:
            return
        if len(self._arrived) >= LEAVE_BATCH_CHUNKS:
            self._leave(self._arrived)
            self._arrived = []
        fresh = self._admit(room)
        self._outstanding |= fresh
        self._subscribe(fresh)
        self._end_if_spent()

    def _admit(self, room: int) -> set[int]:
        """The next chunks that may be asked for now; for the others `_ask` comes back."""
        fresh: set[int] = set()
        while len(fresh) < room and self._spent is None:
            size_bytes = self._sink.blob.chunk_size_bytes(self._waiting[0])
            try:
                wait_s = self._allowance.admit(size_bytes + self._sink.overhead_bytes)
            except LamplighterError as error:
                self._spent = error
                break
            if wait_s:
                if self._later is not None:
                    self._later.cancel()
                self._later = asyncio.get_running_loop().call_later(wait_s, self._ask)
                break
            fresh.add(self._waiting.popleft())
        return fresh

    def _end_if_spent(self) -> None:
        """What was asked for is paid for: it is waited for first."""
        if self._spent and not self._outstanding and self._end and not self._end.done():
            self._end.set_exception(self._spent)

    def _subscribe(self, numbers: set[int]) -> None:
        digest = self._sink.wire_sha256
        if numbers:
            self._transport.subscribe([self._topics.chunk(digest, n) for n in sorted(numbers)])

    def _leave(self, numbers: list[int]) -> None:
        digest = self._sink.wire_sha256
        self._transport.unsubscribe([self._topics.chunk(digest, n) for n in numbers])
