"""Watches a release that runs in the shadow of the one that answers."""

import asyncio
from collections.abc import Callable
from typing import Final

import psutil

from lamplighter_agent.app.services import Services, failure_of
from lamplighter_agent.app.slots import Slot
from lamplighter_agent.app.workers import WorkerProcess
from lamplighter_agent.core.health import shadow_verdict
from lamplighter_agent.core.state import Installed
from lamplighter_agent.core.update import Event
from lamplighter_protocol.bundle import Manifest
from lamplighter_protocol.errors import LamplighterError
from lamplighter_protocol.reported import Failure, Shadowed

#: Memory that a release in shadow leaves to everything else.
SPARE_MB: Final = 64.0
_Ending = tuple[Event, Failure | None]


def check_room(candidate: Installed) -> None:
    """Admit a release to shadow mode only where it takes memory from nobody.

    Raises:
        LamplighterError: SHADOW_NO_ROOM.
    """
    available_mb, needed_mb = _available_mb(), candidate.memory_budget_mb + SPARE_MB
    if available_mb < needed_mb:
        raise LamplighterError(
            "SHADOW_NO_ROOM",
            f"Release {candidate.release} may need {needed_mb:.0f} MB beside the active release; "
            f"{available_mb:.0f} MB are available.",
        )


class Shadowing:
    """One stay in shadow.

    Args:
        manifest: The release in shadow.
        services: What all models share.
        slot: The release in shadow, loaded.
        answering: The slot that answers requests now, if any does.

    Attributes:
        found: What it did, once its time is over.
    """

    def __init__(
        self,
        manifest: Manifest,
        services: Services,
        slot: Slot,
        answering: Callable[[], Slot | None],
    ) -> None:
        self._manifest = manifest
        self._services = services
        self._slot = slot
        self._answering = answering
        self._copying: WorkerProcess | None = None
        self._started_mono = asyncio.get_running_loop().time()
        self.found: Shadowed | None = None

    async def watch(self) -> _Ending:
        """Let copies come and judge, until there is a new verdict or the worker is lost."""
        try:
            if not self._slot.has_served:
                await self._slot.shadow()
            return await self._watch()
        except LamplighterError as error:
            return "worker-lost", failure_of(error)
        finally:
            self._copy_from(None)

    async def _watch(self) -> _Ending:
        worker = self._slot.worker
        assert worker is not None  # noqa: S101 - it takes copies
        while True:
            answering = self._answering()
            self._copy_from(answering.worker if answering else None)
            try:
                await asyncio.wait_for(
                    worker.exited.wait(), self._services.settings.watch_interval_s
                )
            except asyncio.TimeoutError:
                pass
            else:
                raise worker.loss
            if ending := self._judge(worker):
                return ending

    def _copy_from(self, answering: WorkerProcess | None) -> None:
        """Let the worker that answers send copies, and no other."""
        if answering is self._copying:
            return
        if self._copying is not None:
            self._copying.mirror(None)
        if answering is not None:
            answering.mirror(self._slot.copies)
        self._copying = answering

    def _judge(self, worker: WorkerProcess) -> _Ending | None:
        if (available_mb := _available_mb()) < SPARE_MB:
            sentence = f"{available_mb:.0f} MB of memory are left; the shadow makes room."
            return "verdict-bad", Failure(code="SHADOW_NO_ROOM", sentence=sentence)
        elapsed_s = worker.heard_mono - self._started_mono
        verdict = shadow_verdict(
            self._manifest.health, self._manifest.reference, worker.beat, elapsed_s=elapsed_s
        )
        if verdict.decision == "back":
            return "verdict-bad", verdict.failure
        beat = worker.beat
        if verdict.decision == "go" and self.found is None and beat is not None:
            self.found = Shadowed(
                seconds=round(elapsed_s, 3),
                requests=beat.requests,
                compared=beat.compared,
                disagreed=beat.disagreed,
                missed=beat.missed,
            )
            return "shadow-ok", None
        return None


def _available_mb() -> float:
    return float(psutil.virtual_memory().available) / 2**20
