"""What the updaters of all models share."""

import asyncio
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol

from lamplighter_agent.app.conditions import Conditions
from lamplighter_agent.app.config import Settings
from lamplighter_agent.app.fetcher import Fetcher
from lamplighter_agent.app.slots import Slot
from lamplighter_agent.app.windows import Windows
from lamplighter_agent.store.blobs import BlobStore
from lamplighter_agent.store.identity import Identity
from lamplighter_agent.store.journal import Journal
from lamplighter_agent.trust.refresh import Trust
from lamplighter_protocol.errors import LamplighterError
from lamplighter_protocol.reported import Failure, Inventory
from lamplighter_protocol.telemetry import Event


class Tell(Protocol):
    """How a part tells of what happened."""

    def event(self, event: Event) -> None:
        """Put an event into the outbox and the log."""

    def problem(self, error: LamplighterError) -> None:
        """Report a refusal that ends no attempt."""

    def changed(self) -> None:
        """The state that is reported has changed."""

    def waits(self, model: str, reason: Failure | None) -> None:
        """Why the update of a model waits for the board; None if it does not."""

    def settled(self) -> None:
        """An attempt has come to rest: the assignment is to be looked at again."""


@dataclass(frozen=True)
class Services:
    """Made once by the supervisor.

    Attributes:
        identity: Who the device is.
        settings: Durations and the worker command.
        journal: What is remembered.
        blobs: The files.
        fetcher: Brings files.
        trust: Verified metadata.
        windows: Takes counts.
        tell: Events and reports.
        now_utc: The later of the clock and the signed floor.
        conditions: Whether the board is fit for an update.
        connected: Whether the server is in reach.
        inventory: What the board is.
        spawn: Starts a task whose unexpected end stops the agent.
    """

    identity: Identity
    settings: Settings
    journal: Journal
    blobs: BlobStore
    fetcher: Fetcher
    trust: Trust
    windows: Windows
    tell: Tell
    now_utc: Callable[[], datetime]
    conditions: Conditions
    connected: Callable[[], bool]
    inventory: Callable[[], Inventory]
    spawn: Callable[[Coroutine[Any, Any, None]], "asyncio.Task[None]"]


def failure_of(error: LamplighterError) -> Failure:
    """The error as reports and events carry it."""
    return Failure(code=error.code, sentence=error.sentence)


def tell_lacking(slot: Slot, tell: Tell) -> None:
    """Report that a model runs on the CPU though a setting asks for more."""
    if slot.lacking is not None:
        tell.problem(LamplighterError(slot.lacking.code, slot.lacking.sentence))
