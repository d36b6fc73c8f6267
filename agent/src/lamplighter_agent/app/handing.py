"""Keeps what an application has counted until the agent has taken it."""

import logging
import socket
from datetime import datetime
from pathlib import Path
from typing import Final

import msgspec

from lamplighter_agent.app.resident import Resident
from lamplighter_agent.ports.handover import REFUSED, TAKEN
from lamplighter_protocol.counts import Counts
from lamplighter_protocol.telemetry import Window

_TIMEOUT_S: Final = 2.0
_LOG = logging.getLogger(__name__)
_Release = tuple[str, int, str]


class Handing:
    """Counts by release. However long the agent is away, they take no more room: they add up.

    Args:
        path: The agent's socket.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._kept: dict[_Release, Counts] = {}

    def keep(self, resident: Resident) -> None:
        """Take the counts of a release."""
        counts = resident.take()
        if not counts.requests:
            return
        installed = resident.installed
        release = (resident.model, installed.release, installed.variant)
        kept = self._kept.get(release)
        self._kept[release] = kept.merge(counts) if kept else counts

    def offer(self, start_utc: datetime, length_s: int) -> None:
        """Hand over what is kept, as of one window; what the agent does not take stays.

        An agent that dies after it has stored a window and before it says so gets it twice.
        """
        if not self._kept:
            return
        try:
            with socket.socket(socket.AF_UNIX) as agent:
                agent.settimeout(_TIMEOUT_S)
                agent.connect(str(self._path))
                for release in list(self._kept):
                    self._offer(agent, release, start_utc, length_s)
        except OSError as error:
            _LOG.info("the agent takes no counts now: %s", error)

    def _offer(
        self, agent: socket.socket, release: _Release, start_utc: datetime, length_s: int
    ) -> None:
        model, number, variant = release
        window = Window(
            model=model,
            release=number,
            variant=variant,
            mode="active",
            start_utc=start_utc,
            length_s=length_s,
            clock_synchronised=False,  # the agent knows better
            counts=self._kept[release],
        )
        agent.sendall(msgspec.json.encode(window) + b"\n")
        answer = agent.makefile("rb").readline()
        if answer in (TAKEN, REFUSED):
            del self._kept[release]
        if answer == REFUSED:
            _LOG.warning("the agent refuses the counts of %s release %d", model, number)
