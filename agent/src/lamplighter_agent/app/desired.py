"""The assignment in force: accepted from the broker or the journal, re-judged with new trust."""

import logging
from collections.abc import Callable
from datetime import datetime

from lamplighter_agent.app.services import Tell
from lamplighter_agent.durable import DISK_ERRORS
from lamplighter_agent.store.high_water import HighWaterFile
from lamplighter_agent.store.identity import Enrolment
from lamplighter_agent.store.journal import Journal
from lamplighter_protocol.assignment import Assignment, HighWater, accept_assignment
from lamplighter_protocol.canonical import sha256
from lamplighter_protocol.errors import LamplighterError
from lamplighter_protocol.trust import TrustView

_LOG = logging.getLogger(__name__)


class Desired:
    """What the device shall run, as far as it can be believed.

    A refused envelope changes nothing: the accepted one stays in force until it expires, or until
    its director's key is replaced.
    """

    def __init__(
        self,
        enrolment: Enrolment,
        journal: Journal,
        high_water: HighWaterFile,
        tell: Tell,
        now_utc: Callable[[], datetime],
    ) -> None:
        self._enrolment = enrolment
        self._journal = journal
        self._high_water = high_water
        self._tell = tell
        self._now_utc = now_utc
        self._newest = journal.document.assignment
        self._judged: tuple[bytes, TrustView] | None = None
        self._accepted: Assignment | None = None

    def take(self, envelope: bytes) -> None:
        """Take what came as `desired`; it is judged when it is asked for."""
        if envelope:  # an empty one clears the topic: no statement at all
            self._newest = envelope

    @property
    def issued_utc(self) -> datetime | None:
        """When the director signed what is accepted now."""
        return self._accepted.issued_utc if self._accepted is not None else None

    def in_force(self, view: TrustView | None) -> Assignment | None:
        """The newest accepted assignment that has not expired; None forbids changes.

        Args:
            view: The verified metadata with the director's keys; without it, or when it has
                expired, nothing is accepted.
        """
        if self._newest is None or view is None:
            return None
        if self._judged is None or self._judged != (self._newest, view):
            try:
                self._judge_anew(self._newest, view)
            except LamplighterError as error:
                self._tell.problem(error)
                if error.code in DISK_ERRORS:
                    return None
            self._judged = (self._newest, view)
        accepted, now_utc = self._accepted, self._now_utc()
        if accepted is None or min(accepted.expires_utc, view.changes_until_utc) <= now_utc:
            return None
        return accepted

    def _judge_anew(self, newest: bytes, view: TrustView) -> None:
        """First what was accepted before, which new director keys may end, then the newest."""
        before, self._accepted = self._journal.document.assignment, None
        if before is not None and before != newest:
            try:
                self._accepted = self._accept(before, view)
            except LamplighterError as error:
                _LOG.info("the former assignment is no longer in force: %s", error)
        accepted = self._accept(newest, view)
        self._high_water.raise_to(HighWater(accepted.generation, sha256(newest)))
        if newest != before:
            self._journal.save_assignment(accepted, newest)
            self._tell.changed()
        self._accepted = accepted

    def _accept(self, envelope: bytes, view: TrustView) -> Assignment:
        return accept_assignment(
            envelope,
            device=self._enrolment.device,
            fleet=self._enrolment.fleet,
            director=view.director,
            last=self._high_water.mark,
            now_utc=self._now_utc(),
        )
