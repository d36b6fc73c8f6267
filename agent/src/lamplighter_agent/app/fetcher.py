"""Fetches blobs into the store, one at a time, and knows which are wanted."""

import asyncio
from collections.abc import Callable, Iterable
from typing import Final

from lamplighter_agent.app.meter import Meter
from lamplighter_agent.link.wanted import Patch, Wanted
from lamplighter_agent.ports.transport import Allowance, Way
from lamplighter_agent.store.blobs import BlobStore, PartialBlob
from lamplighter_agent.store.patcher import patch
from lamplighter_protocol.errors import LamplighterError

_NOT_OF_THE_PATCH: Final = frozenset({"DISK_FULL", "DISK_FAILED", "BUDGET_SPENT"})
_OTHER_FILE: Final = "The patch makes another file than the one that was signed."


class Fetcher:
    """Brings blobs into the store.

    Args:
        blobs: The store.
        way: How they come.
        meter: How much may come.
        announces: Whether a report has to bring what is wanted to the broker.
        on_refused: Told of a patch that makes something else.
        on_wants: Told when `wants` has changed.
    """

    def __init__(
        self,
        blobs: BlobStore,
        way: Way,
        meter: Meter,
        *,
        announces: bool,
        on_refused: Callable[[LamplighterError], None],
        on_wants: Callable[[], None],
    ) -> None:
        self._blobs = blobs
        self._way = way
        self.meter = meter
        self._announces = announces
        self._on_refused = on_refused
        self._on_wants = on_wants
        self._one_at_a_time = asyncio.Lock()
        self.wants: frozenset[str] = frozenset()
        """Digests, as they travel, of the blobs that are still wanted; a report brings them to the
        broker."""
        self._touched: list[frozenset[str]] = []

    @property
    def touched(self) -> frozenset[str]:
        """Digests, as they are stored, of what is written or read by a fetch under way."""
        return frozenset[str]().union(*self._touched)

    async def fetch(self, wanted: Iterable[Wanted], allowance: Allowance) -> None:
        """Fetch what is missing of `wanted`.

        Raises:
            LamplighterError: FETCH_REFUSED; and FETCH_STALLED, CHUNK_REFUSED, DISK_FULL,
                DISK_FAILED or BUDGET_SPENT, which may succeed later and go on where they stopped.
        """
        missing = [item for item in wanted if not self._blobs.has(item.blob.sha256)]
        touched = frozenset(digest for item in missing for digest in item.touches)
        self._touched.append(touched)
        self._want(self.wants | {_first(item) for item in missing})
        try:
            for item in missing:
                async with self._one_at_a_time:
                    if not self._blobs.has(item.blob.sha256):
                        await self._bring(item, allowance)
                self._want(self.wants - {_first(item), item.wire_sha256})
        finally:
            self.meter.save()
            self._touched.remove(touched)
            self._want(
                self.wants - {name for item in missing for name in (_first(item), item.wire_sha256)}
            )

    def _want(self, digests: frozenset[str]) -> None:
        if self._announces and digests != self.wants:
            self.wants = digests
            self._on_wants()

    async def _bring(self, wanted: Wanted, allowance: Allowance) -> None:
        partial = await asyncio.to_thread(self._blobs.partial, wanted.blob)
        try:
            if wanted.patch is not None:
                partial = await self._fill(wanted.patch, partial, allowance)
                self._want(self.wants | ({wanted.wire_sha256} if partial.lacking else set()))
            await self._way.pull(wanted.sink(partial), allowance)
            await asyncio.to_thread(partial.finish)
        finally:
            partial.close()

    async def _fill(self, offer: Patch, partial: PartialBlob, allowance: Allowance) -> PartialBlob:
        """Let a patch make what is lacking; it is read anew, so that nothing is taken on trust."""
        begun = len(partial.lacking) < partial.blob.chunk_count
        if begun and not self._blobs.has(offer.blob.sha256):
            return partial  # what lacks may be less than the patch
        try:
            base = offer.base_sha256
            start = await asyncio.to_thread(self._blobs.verified, base) if base else None
            if not self._blobs.has(offer.blob.sha256):
                await self._bring(Wanted(offer.blob, offer.blob.sha256), allowance)
            made_by = await asyncio.to_thread(self._blobs.verified, offer.blob.sha256)
            await patch(offer.kind, made_by, start, partial.path, partial.blob.size_bytes)
        except LamplighterError as error:
            if error.code in _NOT_OF_THE_PATCH:
                raise
            self._on_refused(error)
        else:
            again = await asyncio.to_thread(self._blobs.partial, partial.blob)
            partial.close()
            partial = again
            if partial.lacking:
                self._on_refused(LamplighterError("PATCH_REFUSED", _OTHER_FILE))
        return partial


def _first(wanted: Wanted) -> str:
    """The name under which something of it is to come first."""
    return wanted.patch.blob.sha256 if wanted.patch is not None else wanted.wire_sha256
