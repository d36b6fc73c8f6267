"""By which transport a file comes; the other one where that brings nothing."""

from collections.abc import Callable, Sequence
from typing import Final

from lamplighter_agent.ports.transport import Allowance, ChunkSink, Way
from lamplighter_protocol.errors import LamplighterError

#: How long the way that helped out goes first, before the usual one is tried again.
RETURN_S: Final = 600.0
#: What no other way would change.
_OF_THIS_DEVICE: Final = frozenset({"DISK_FULL", "DISK_FAILED", "BUDGET_SPENT"})


class Ways:
    """Implements ports.transport.Way by several others.

    Args:
        ways: In the order in which they are tried.
        on_refused: Told why a way failed where another one helped out.
        now_mono: A clock that never jumps.
    """

    def __init__(
        self,
        ways: Sequence[Way],
        on_refused: Callable[[LamplighterError], None],
        now_mono: Callable[[], float],
    ) -> None:
        self._ways = tuple(ways)
        self._on_refused = on_refused
        self._now_mono = now_mono
        self._helper: Way | None = None
        self._until_mono = 0.0

    async def pull(self, sink: ChunkSink, allowance: Allowance) -> None:
        """See ports.transport."""
        failed: list[LamplighterError] = []
        for way in self._order():
            error = await self._try(way, sink, allowance)
            if error is None:
                self._note(way, failed)
                return
            failed.append(error)
        raise next((error for error in failed if error.retryable), failed[0])

    async def _try(
        self, way: Way, sink: ChunkSink, allowance: Allowance
    ) -> LamplighterError | None:
        """Why a way does not bring the file, if another may."""
        try:
            await way.pull(sink, allowance)
        except LamplighterError as error:
            if error.code in _OF_THIS_DEVICE:
                raise
            return error
        return None

    def _note(self, way: Way, failed: Sequence[LamplighterError]) -> None:
        """Let the way that helped out go first for a while."""
        if failed:
            self._helper, self._until_mono = way, self._now_mono() + RETURN_S
        for error in failed:
            self._on_refused(error)

    def _order(self) -> tuple[Way, ...]:
        if self._helper is None or self._now_mono() >= self._until_mono:
            return self._ways
        return (self._helper, *(way for way in self._ways if way is not self._helper))
