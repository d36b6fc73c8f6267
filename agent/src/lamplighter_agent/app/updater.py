"""Drives the updates of one model: performs the effects that core.update asks for."""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from typing import Final

from lamplighter_agent.app.admission import Admission
from lamplighter_agent.app.keeper import Keeper
from lamplighter_agent.app.probation import Probation
from lamplighter_agent.app.record import ModelRecord
from lamplighter_agent.app.services import Services, failure_of, tell_lacking
from lamplighter_agent.app.shadow import Shadowing, check_room
from lamplighter_agent.app.slots import Slot
from lamplighter_agent.app.sockets import ModelSockets
from lamplighter_agent.app.tasks import cancel
from lamplighter_agent.app.workers import LOSSES
from lamplighter_agent.core import state as model_state
from lamplighter_agent.core.state import AttemptState, Installed, ModelState
from lamplighter_agent.core.update import YIELDS, Effect, Event
from lamplighter_protocol.assignment import AssignedModel, Generation, Mode
from lamplighter_protocol.bundle import Manifest
from lamplighter_protocol.errors import LamplighterError
from lamplighter_protocol.reported import Failure
from lamplighter_protocol.trust import allows_release

_Ending = tuple[Event, Failure | None]
#: How long a worker that is to end may take for its open connections.
DRAIN_TIMEOUT_S: Final = 3.0


class ModelUpdater:
    """One model on this device: what serves, what waits warm, and the attempt under way.

    Args:
        name: The model.
        services: What all models share.
        port: The loopback port; 0 takes a free one.
    """

    def __init__(self, name: str, services: Services, port: int) -> None:
        self.name = name
        self._services = services
        self._port = port
        self.sockets: ModelSockets | None = None
        self._keeper: Keeper | None = None
        self._keeping: asyncio.Task[None] | None = None
        self._driving: asyncio.Task[None] | None = None
        self._candidate: Slot | None = None
        self._warm: Slot | None = None
        self._leaving: set[Slot] = set()
        self._manifest: Manifest | None = None
        self._probation: Probation | None = None
        self._shadowing: Shadowing | None = None
        self._admission = Admission(services)
        self._record = ModelRecord(name, services)
        self._perform: dict[Effect, Callable[[], Awaitable[_Ending | None]]] = {
            "agree": self._agree,
            "fetch": self._fetch,
            "load": self._load,
            "self-test": self._self_test,
            "shadow": self._shadow,
            "switch": self._switch,
            "watch": self._watch,
            "restart": self._restart,
            "switch-back": self._switch_back,
            "discard": self._discard,
            "retire": self._retire,
        }

    @property
    def slots(self) -> list[Slot]:
        """Every slot that there is."""
        kept = self._keeper.slot if self._keeper else None
        return [slot for slot in {kept, self._warm, self._candidate} if slot is not None]

    @property
    def serving(self) -> Slot | None:
        """The slot that answers requests now."""
        return next((slot for slot in self.slots if slot.serving), None)

    @property
    def _model(self) -> ModelState:
        return self._record.model

    @property
    def _attempt(self) -> AttemptState:
        return self._record.attempt

    def serve(self) -> None:
        """Bring the committed release up from disk.

        Raises:
            LamplighterError: PORT_IN_USE.
        """
        if self._model.active is not None:
            self._keep(self._make_slot(self._model.active))

    async def resume(self) -> None:
        """Go on with what a restart interrupted, once the committed release serves."""
        if self._keeper is not None:
            await self._keeper.tried.wait()
        if self._model.attempt is not None:
            self._drive(await self._record.advance("interrupted", None))

    async def begin(self, assigned: AssignedModel, generation: Generation) -> None:
        """Begin an attempt; nothing is under way."""
        self._drive(await self._record.begin(assigned, generation))

    async def supersede(self) -> None:
        """End the attempt under way, as a newer assignment wants something else."""
        await cancel(filter(None, (self._driving,)))
        for slot in self._leaving:
            self._services.spawn(self._end(slot))
        self._drive(await self._record.advance("superseded", None))

    async def promote(self, assigned: AssignedModel, generation: Generation) -> None:
        """Let the release in shadow go on as the active one."""
        await cancel(filter(None, (self._driving,)))
        if self._model.state == "shadowing":
            self._drive(await self._record.promote(assigned, generation))
        else:  # it has ended meanwhile; what follows is decided anew
            self._services.tell.settled()

    async def close(self) -> None:
        """Stop every task and every worker, and take their last counts."""
        await cancel(filter(None, (self._driving, self._keeping)))
        await asyncio.gather(*(self._end(slot) for slot in {*self.slots, *self._leaving}))
        self._keeper = self._warm = self._candidate = None
        if self.sockets is not None:
            self.sockets.close()
            self.sockets = None

    # The loop: journal first, then the effects.

    def _drive(self, effects: tuple[Effect, ...]) -> None:
        self._driving = self._services.spawn(self._run(effects))

    async def _run(self, effects: tuple[Effect, ...]) -> None:
        while effects:
            ending: _Ending | None = None
            for effect in effects:
                ending = await self._perform[effect]()
            if ending is None:
                break
            assert ending[0] in YIELDS[effects[-1]]  # noqa: S101 - the table's contract
            effects = await self._record.advance(*ending)
        self._services.tell.settled()

    # The effects.

    async def _agree(self) -> _Ending:
        try:
            candidate = await self._admission.agree(self._attempt.assigned, self._model.active)
        except LamplighterError as error:
            return "refused", failure_of(error)
        await self._record.save(lambda model: model_state.agreed(model, candidate))
        return "trust-agreed", None

    async def _fetch(self) -> _Ending:
        self._collect_garbage()  # what a superseded attempt has left takes room
        started_mono = _now_mono()
        try:
            await self._admission.fetch(self._attempt.assigned)
        except LamplighterError as error:
            if error.code == "STORE_CORRUPT":
                return "store-damaged", None
            return "refused", failure_of(error)
        await self._record.timed("fetch", started_mono)
        return "blobs-complete", None

    async def _load(self) -> _Ending:
        if model_state.loops(self._model):
            failure = Failure(
                code="UPDATE_LOOP",
                sentence=f"The candidate was started {self._attempt.starts} times without an end.",
            )
            return "looped", failure
        candidate = self._attempt.candidate
        assert candidate is not None  # noqa: S101 - trust has agreed
        if not allows_release(self._services.trust.policies, self.name, candidate.release):
            sentence = f"The signed minimum of {self.name} has passed release {candidate.release}."
            return "load-failed", Failure(code="RELEASE_BELOW_MINIMUM", sentence=sentence)
        try:
            await self._admission.fit(self._attempt.assigned)
        except LamplighterError as error:
            return "load-failed", failure_of(error)
        await self._record.save(model_state.started)
        if self._candidate is not None:
            await self._end(self._candidate)
        mode, self._shadowing = self._attempt.assigned.mode, None
        try:
            if mode == "shadow":
                check_room(candidate)
            self._candidate = self._make_slot(candidate, mode)
            self._manifest = await self._admission.manifest(self._attempt.assigned)
            await self._candidate.load()
            tell_lacking(self._candidate, self._services.tell)
        except LamplighterError as error:
            if error.code == "STORE_CORRUPT":
                return "store-damaged", None
            return ("worker-lost" if error.code in LOSSES else "load-failed"), failure_of(error)
        return "loaded", None

    async def _self_test(self) -> _Ending:
        started_mono = _now_mono()
        try:
            await self._new.self_test()
        except LamplighterError as error:
            ending: Event = "worker-lost" if error.code in LOSSES else "self-test-failed"
            return ending, failure_of(error)
        await self._record.timed("self_test", started_mono)
        return model_state.passed(self._model), None

    async def _shadow(self) -> _Ending:
        assert self._manifest is not None  # noqa: S101 - it is loaded
        if self._shadowing is None:
            self._shadowing = Shadowing(
                self._manifest, self._services, self._new, lambda: self.serving
            )
        ending = await self._shadowing.watch()
        if ending[0] == "shadow-ok" and (found := self._shadowing.found) is not None:
            await self._record.save(lambda model: model_state.shadowed(model, found))
        return ending

    async def _switch(self) -> _Ending:
        """Two workers accept for a moment, so that no connection is refused."""
        await self._stop_keeping()
        assert self._manifest is not None  # noqa: S101 - it is loaded
        self._probation = Probation(self._manifest, self._services)
        try:
            await self._new.serve()
        except LamplighterError as error:
            self._probation.crashes += 1
            return "worker-lost", failure_of(error)
        if self._warm is not None:
            self._drain(self._warm)
        return "switched", None

    async def _watch(self) -> _Ending:
        assert self._probation is not None  # noqa: S101 - the switch has made it
        ending = await self._probation.watch(self._new)
        await self._record.timed("probation", self._probation.started_mono)
        return ending

    async def _restart(self) -> _Ending:
        assert self._probation is not None  # noqa: S101 - the switch has made it
        await asyncio.sleep(self._services.settings.retry_first_s)
        try:
            await self._new.load()
            await self._new.serve()
        except LamplighterError as error:
            self._probation.crashes += 1
            ending: Event = "load-failed" if self._probation.is_spent else "worker-lost"
            return ending, failure_of(error)
        return "switched", None

    async def _switch_back(self) -> _Ending:
        started_mono = _now_mono()
        await self._stop_keeping()  # the switch may have been cut short before it did
        old, self._warm = self._warm, None
        if old is None and self._model.active is not None:
            old = self._make_slot(self._model.active)
        if old is not None:
            self._keep(old)
            assert self._keeper is not None  # noqa: S101 - just made
            await self._keeper.tried.wait()
        self._drain(self._new)
        await self._record.timed("rollback", started_mono)
        return "switched", None

    async def _discard(self) -> None:
        gone, self._candidate = self._candidate, None
        self._probation = self._shadowing = None
        if gone is not None:
            await self._end(gone)
        self._collect_garbage()

    async def _retire(self) -> None:
        kept, self._candidate = self._new, None
        gone, self._warm = self._warm, None
        self._probation = None
        self._keep(kept)
        if gone is not None:
            await self._end(gone)
        self._collect_garbage()

    # What they share.

    @property
    def _new(self) -> Slot:
        assert self._candidate is not None  # noqa: S101 - it is loaded
        return self._candidate

    def _make_slot(self, installed: Installed, mode: Mode = "active") -> Slot:
        settings = self._services.settings
        if self.sockets is None:
            self.sockets = ModelSockets(self.name, settings.sockets, self._port)
        return Slot(
            self.name,
            installed,
            blobs=self._services.blobs,
            run=settings.data.run,
            command=(*settings.worker_command, "--accelerator", settings.accelerator),
            listen_fds=self.sockets.fds if mode == "active" else (),
            hang_s=settings.hang_s,
            mode=mode,
        )

    def _keep(self, slot: Slot) -> None:
        self._keeper = Keeper(self.name, slot, self._services, self._make_slot)
        self._keeping = self._services.spawn(self._keeper.run())

    async def _stop_keeping(self) -> None:
        """From now on the old release only waits; its worker is not started again."""
        await cancel(filter(None, (self._keeping,)))
        if self._keeper is not None:
            self._warm, self._keeper = self._keeper.slot, None

    def _drain(self, slot: Slot) -> None:
        slot.drain()
        self._services.spawn(self._count_when_drained(slot))

    async def _count_when_drained(self, slot: Slot) -> None:
        if slot.worker is not None:
            await slot.worker.drained.wait()
            await self._services.windows.close(slot)

    async def _end(self, slot: Slot) -> None:
        """Stop a worker; what it answers until its last connection closes is still counted.

        If it is broken off, whoever closes the agent ends it again.
        """
        self._leaving.add(slot)
        if slot.worker is not None and slot.has_served:
            if slot.serving:
                slot.drain()
            with contextlib.suppress(asyncio.TimeoutError):
                await asyncio.wait_for(slot.worker.drained.wait(), DRAIN_TIMEOUT_S)
        await self._services.windows.close(slot)
        await slot.stop()
        self._leaving.discard(slot)

    def _collect_garbage(self) -> None:
        keep = model_state.protected(self._services.journal.document.models.values())
        try:
            self._services.blobs.collect_garbage(keep | self._services.fetcher.touched)
        except LamplighterError as error:
            self._services.tell.problem(error)


def _now_mono() -> float:
    return asyncio.get_running_loop().time()
