"""Keeps the committed release of a model up: restarts it, and falls back if that does not help."""

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Final

from lamplighter_agent.app.services import Services, failure_of, tell_lacking
from lamplighter_agent.app.slots import Slot
from lamplighter_agent.core.state import Installed, fall_back, lose_files, without_forbidden
from lamplighter_protocol.errors import LamplighterError
from lamplighter_protocol.telemetry import Event

#: How many losses within LOSSES_WITHIN_S a committed release may have before the previous one.
MAX_LOSSES: Final = 3
LOSSES_WITHIN_S: Final = 300.0


class Keeper:
    """Brings the committed release up and keeps it up.

    Attributes:
        slot: The slot that serves, or is being brought up.
        tried: Set when the first start has succeeded or failed.
    """

    def __init__(
        self, model: str, slot: Slot, services: Services, make_slot: Callable[[Installed], Slot]
    ) -> None:
        self.slot: Slot | None = slot
        self.tried = asyncio.Event()
        self._model = model
        self._services = services
        self._make_slot = make_slot
        self._losses: deque[float] = deque(maxlen=MAX_LOSSES + 1)

    async def run(self) -> None:
        """Watch the slot until cancelled, or until no release is left to serve."""
        pause_s = self._services.settings.retry_first_s
        while self.slot is not None:
            try:
                started_mono = asyncio.get_running_loop().time()
                await self._up(self.slot)
                if asyncio.get_running_loop().time() - started_mono > LOSSES_WITHIN_S:
                    pause_s = self._services.settings.retry_first_s
            except LamplighterError as error:
                self._tell(self.slot, error)
                if await self._give_up(error):
                    continue
            finally:
                self.tried.set()
            await asyncio.sleep(pause_s)
            pause_s = min(2 * pause_s, self._services.settings.retry_max_s)

    async def _up(self, slot: Slot) -> None:
        """Let the slot serve; ends with the error by which it is lost."""
        if not slot.alive:
            await slot.load()
            tell_lacking(slot, self._services.tell)
        if not slot.serving:
            await slot.serve()
        self.tried.set()
        self._services.tell.changed()
        assert slot.worker is not None  # noqa: S101 - it serves
        await slot.worker.exited.wait()
        slot.serving = False
        raise slot.worker.loss

    def _tell(self, slot: Slot, error: LamplighterError) -> None:
        self._services.tell.event(
            Event(
                at_utc=self._services.now_utc(),
                kind="worker",
                model=self._model,
                release=slot.installed.release,
                code=error.code,
                sentence=error.sentence,
            )
        )

    async def _give_up(self, error: LamplighterError) -> bool:
        """Fall back if this release cannot be kept up; return whether it was done."""
        now_mono = asyncio.get_running_loop().time()
        self._losses.append(now_mono)
        model = self._services.journal.model(self._model)
        damaged = error.code == "STORE_CORRUPT"
        often = len(self._losses) > MAX_LOSSES and now_mono - self._losses[0] < LOSSES_WITHIN_S
        model = without_forbidden(model, self._services.trust.policies)
        # Without a previous release the best that can be done is to try again.
        if not damaged and not (often and model.previous is not None):
            return False
        after = lose_files(model) if damaged else fall_back(model, failure_of(error))
        try:
            self._services.journal.save_model(after)
        except LamplighterError as full:
            self._services.tell.problem(full)
            return False
        lost = self.slot
        self.slot = self._make_slot(after.active) if after.active else None
        self._losses.clear()
        if lost is not None:
            await lost.stop()
        self._services.tell.changed()
        self._services.tell.settled()
        return True
