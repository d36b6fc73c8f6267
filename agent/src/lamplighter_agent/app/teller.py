"""Tells the server: events, windows and vitals into the outbox, and what makes a report due."""

import asyncio
import logging
from collections.abc import Callable
from datetime import datetime

import msgspec

from lamplighter_agent.app.services import failure_of
from lamplighter_agent.store.outbox import Outbox
from lamplighter_protocol.errors import LamplighterError
from lamplighter_protocol.reported import Failure
from lamplighter_protocol.telemetry import Event, Stream

_LOG = logging.getLogger(__name__)


class Teller:
    """Implements services.Tell.

    Attributes:
        report_due: Set when the signed state has changed.
        reconcile_due: Set when the assignment is to be looked at again.
        messages_due: Set when the outbox has something new.
        waiting: Why updates wait for the board, by model.
        last_problem: The newest refusal that ended no attempt.
    """

    def __init__(self, outbox: Outbox, now_utc: Callable[[], datetime]) -> None:
        self._outbox = outbox
        self._now_utc = now_utc
        self.report_due = asyncio.Event()
        self.reconcile_due = asyncio.Event()
        self.messages_due = asyncio.Event()
        self.last_problem: Failure | None = None
        self.waiting: dict[str, Failure] = {}

    def put(self, stream: Stream, message: msgspec.Struct) -> None:
        """Store a message; on a full disk it is lost, and the log says so."""
        try:
            self._outbox.put(stream, message)
        except LamplighterError as error:
            _LOG.error("a %s message is lost: %s", stream, error)
        self.messages_due.set()

    def event(self, event: Event) -> None:
        """See services.Tell."""
        what = f"{event.model or ''} {event.release or ''} {event.phase or ''}".strip()
        why = f"{event.code}: {event.sentence}" if event.code else event.sentence
        _LOG.info("%s %s %s", event.kind, what, why)
        self.put("event", event)

    def problem(self, error: LamplighterError) -> None:
        """See services.Tell. The same problem again is told once."""
        problem = failure_of(error)
        if problem != self.last_problem:
            self.last_problem = problem
            self.event(
                Event(
                    at_utc=self._now_utc(),
                    kind="refused",
                    code=problem.code,
                    sentence=problem.sentence,
                )
            )
            self.report_due.set()

    def changed(self) -> None:
        """See services.Tell."""
        self.report_due.set()

    def waits(self, model: str, reason: Failure | None) -> None:
        """See services.Tell. The same reason again is told once."""
        if reason == self.waiting.get(model):
            return
        if reason is None:
            del self.waiting[model]
            _LOG.info("the update of %s goes on", model)
        else:
            self.waiting[model] = reason
            _LOG.info("the update of %s waits: %s: %s", model, reason.code, reason.sentence)
        self.report_due.set()

    def settled(self) -> None:
        """See services.Tell."""
        self.reconcile_due.set()
