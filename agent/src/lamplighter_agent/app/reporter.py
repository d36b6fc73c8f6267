"""Signs and publishes what the device says it has, on each change and on each connection."""

import asyncio
import logging
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Final

from lamplighter_agent.app.fetcher import Fetcher
from lamplighter_agent.app.teller import Teller
from lamplighter_agent.link.mqtt import Link
from lamplighter_agent.store.counter import ReportCounter
from lamplighter_agent.store.identity import Identity
from lamplighter_agent.store.journal import Journal
from lamplighter_agent.trust.refresh import Trust
from lamplighter_protocol.canonical import sha256
from lamplighter_protocol.errors import LamplighterError
from lamplighter_protocol.reported import Inventory, Reported, TrustState, sign_reported
from lamplighter_protocol.topics import Topics

#: Changes within this time make one report: the newest state is what counts.
GATHER_S: Final = 0.05
_LOG = logging.getLogger(__name__)


def trust_state(trust: Trust) -> TrustState | None:
    """What a report says of the verified metadata."""
    view = trust.view
    if view is None:
        return None
    return TrustState(
        root_version=view.root_version,
        targets_version=view.targets_version,
        floor_utc=view.issued_floor_utc,
        changes_until_utc=view.changes_until_utc,
    )


class Reporter:
    """Publishes `reported`, retained."""

    def __init__(
        self,
        identity: Identity,
        journal: Journal,
        counter: ReportCounter,
        trust: Trust,
        fetcher: Fetcher,
        teller: Teller,
        link: Link,
        *,
        newest: Path,
        boot: str,
        inventory: Callable[[], Inventory],
        now_utc: Callable[[], datetime],
        is_synchronised: Callable[[], bool],
        retry_s: float,
    ) -> None:
        self._identity = identity
        self._journal = journal
        self._counter = counter
        self._trust = trust
        self._fetcher = fetcher
        self._teller = teller
        self._link = link
        self._newest = newest
        self._boot = boot
        self._inventory = inventory
        self._now_utc = now_utc
        self._is_synchronised = is_synchronised
        self._retry_s = retry_s
        self._again: asyncio.TimerHandle | None = None

    async def run(self, on_change: Callable[[], None]) -> None:
        """Report whenever it is due, until cancelled.

        Args:
            on_change: Called on every change, also without a connection.
        """
        enrolment = self._identity.enrolment
        topic = Topics(enrolment.fleet).device(enrolment.device, "reported")
        while True:
            await self._teller.report_due.wait()
            await asyncio.sleep(GATHER_S)
            self._teller.report_due.clear()
            on_change()
            if not self._link.connected:
                continue  # the next connection makes a report due
            try:
                reported = self._reported(self._counter.next())
                envelope = await asyncio.to_thread(sign_reported, reported, self._identity.signer)
            except LamplighterError as error:
                self._teller.problem(error)
                self._try_again()
                continue
            self._keep(envelope)
            self._link.publish(topic, envelope, retain=True)

    def _try_again(self) -> None:
        """In a while, once, however often it failed meanwhile: a disk or a token may come back."""
        if self._again is not None:
            self._again.cancel()
        due = self._teller.report_due.set
        self._again = asyncio.get_running_loop().call_later(self._retry_s, due)

    def _keep(self, envelope: bytes) -> None:
        """For `lamplighter-agent provenance`; the next report replaces what a power cut spoils."""
        beside = self._newest.with_name(self._newest.name + ".new")
        try:
            beside.write_bytes(envelope)
            beside.replace(self._newest)
        except OSError as error:  # a full disk must not silence the device
            _LOG.warning("The report is not kept: %s", error)

    def _reported(self, counter: int) -> Reported:
        enrolment, document = self._identity.enrolment, self._journal.document
        return Reported(
            device=enrolment.device,
            fleet=enrolment.fleet,
            boot=self._boot,
            counter=counter,
            generation=document.generation,
            assignment_sha256=sha256(document.assignment) if document.assignment else None,
            inventory=self._inventory(),
            trust=trust_state(self._trust),
            models=tuple(model.report() for model in document.models.values()),
            wants=tuple(sorted(self._fetcher.wants)),
            waiting=dict(self._teller.waiting),
            problem=self._teller.last_problem,
            clock_synchronised=self._is_synchronised(),
            at_utc=self._now_utc(),
        )
