"""The assignment in force: accepted from the broker or the journal, re-judged with new trust."""

from collections.abc import Callable
from datetime import datetime

from lamplighter_agent.app.services import Tell
from lamplighter_agent.store.identity import Enrolment
from lamplighter_agent.store.journal import Journal
from lamplighter_protocol.assignment import Assignment, accept_assignment
from lamplighter_protocol.errors import LamplighterError
from lamplighter_protocol.trust import TrustView


class Desired:
    """What the device shall run, as far as it can be believed.

    A refused envelope changes nothing: the accepted one stays in force until it expires.
    """

    def __init__(
        self, enrolment: Enrolment, journal: Journal, tell: Tell, now_utc: Callable[[], datetime]
    ) -> None:
        self._enrolment = enrolment
        self._journal = journal
        self._tell = tell
        self._now_utc = now_utc
        self._newest = journal.document.assignment
        self._judged: tuple[bytes, TrustView] | None = None
        self._accepted: Assignment | None = None

    def take(self, envelope: bytes) -> None:
        """Take what came as `desired`; it is judged when it is asked for."""
        if envelope:  # an empty one clears the topic: no statement at all
            self._newest = envelope

    def in_force(self, view: TrustView | None) -> Assignment | None:
        """The newest accepted assignment that has not expired; None forbids changes.

        Args:
            view: The verified metadata with the director's keys; without it, or when it has
                expired, nothing is accepted.
        """
        if self._newest is None or view is None or view.changes_until_utc <= self._now_utc():
            return None
        if self._judged is None or self._judged != (self._newest, view):
            try:
                self._judge(self._newest, view)
            except LamplighterError as error:
                self._tell.problem(error)
                if error.code == "DISK_FULL":
                    return None
            self._judged = (self._newest, view)
        accepted = self._accepted
        if accepted is None or accepted.expires_utc <= self._now_utc():
            return None
        return accepted

    def _judge(self, envelope: bytes, view: TrustView) -> None:
        document = self._journal.document
        accepted = accept_assignment(
            envelope,
            device=self._enrolment.device,
            fleet=self._enrolment.fleet,
            director=view.director,
            last=document.generation,
            now_utc=self._now_utc(),
        )
        if envelope != document.assignment:
            self._journal.save_assignment(accepted, envelope)
            self._tell.changed()
        self._accepted = accepted
