"""What is remembered of one model: every change is journalled before its effects, and told."""

import asyncio
from collections.abc import Callable

from lamplighter_agent.app.services import Services
from lamplighter_agent.core import state as model_state
from lamplighter_agent.core.state import AttemptState, ModelState
from lamplighter_agent.core.update import Effect, Event
from lamplighter_protocol.assignment import AssignedModel, Generation
from lamplighter_protocol.errors import LamplighterError
from lamplighter_protocol.reported import Failure
from lamplighter_protocol.telemetry import Event as Told

_Effects = tuple[Effect, ...]


class ModelRecord:
    """The journal of one model.

    Args:
        name: The model.
        services: What all models share.
    """

    def __init__(self, name: str, services: Services) -> None:
        self._name = name
        self._services = services

    @property
    def model(self) -> ModelState:
        """The newest journalled state."""
        return self._services.journal.model(self._name)

    @property
    def attempt(self) -> AttemptState:
        """The newest attempt; there is one wherever effects are performed."""
        attempt = self.model.attempt
        assert attempt is not None  # noqa: S101 - effects belong to an attempt
        return attempt

    async def begin(self, assigned: AssignedModel, generation: Generation) -> _Effects:
        """Journal a new attempt; return what to do."""
        now_utc = self._services.now_utc()
        return await self._decide(
            lambda model: model_state.begin(model, assigned, generation, now_utc)
        )

    async def promote(self, assigned: AssignedModel, generation: Generation) -> _Effects:
        """Journal that what runs in shadow shall be active; return what to do."""
        now_utc = self._services.now_utc()
        return await self._decide(
            lambda model: model_state.promote(model, assigned, generation, now_utc)
        )

    async def advance(self, event: Event, failure: Failure | None) -> _Effects:
        """Journal what follows from an event; return what to do."""
        now_utc = self._services.now_utc()
        return await self._decide(lambda model: model_state.advance(model, event, now_utc, failure))

    async def timed(self, step: str, started_mono: float) -> None:
        """Note how long a step took."""
        seconds = asyncio.get_running_loop().time() - started_mono
        await self.save(lambda model: model_state.timed(model, step, seconds))

    async def save(self, change: Callable[[ModelState], ModelState]) -> None:
        """Journal a change; a full disk makes the update wait, not end."""
        pause_s = self._services.settings.retry_first_s
        while True:
            before = self.model
            model = change(before)
            try:
                self._services.journal.save_model(model)
            except LamplighterError as error:
                self._services.tell.problem(error)
                await asyncio.sleep(pause_s)
                pause_s = min(2 * pause_s, self._services.settings.retry_max_s)
            else:
                break
        if model.attempt is not None and model.state != before.state:
            self._tell_phase(model.attempt)
        self._services.tell.changed()

    async def _decide(
        self, change: Callable[[ModelState], tuple[ModelState, _Effects]]
    ) -> _Effects:
        effects: _Effects = ()

        def keep(model: ModelState) -> ModelState:
            nonlocal effects
            model, effects = change(model)
            return model

        await self.save(keep)
        return effects

    def _tell_phase(self, attempt: AttemptState) -> None:
        failure = attempt.failure
        self._services.tell.event(
            Told(
                at_utc=self._services.now_utc(),
                kind="phase",
                model=self._name,
                release=attempt.assigned.release,
                phase=attempt.state,
                code=failure.code if failure else None,
                sentence=failure.sentence if failure else "",
            )
        )
