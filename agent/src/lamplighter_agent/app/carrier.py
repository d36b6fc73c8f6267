"""Gives the agent what a person has carried to the board, as the broker would."""

import asyncio
import logging
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from lamplighter_agent.durable import disk_errors, fsync_directory
from lamplighter_agent.ports.transport import Transport
from lamplighter_agent.store.identity import Enrolment
from lamplighter_protocol.carried import SUFFIX
from lamplighter_protocol.errors import LamplighterError
from lamplighter_protocol.topics import Topics

if TYPE_CHECKING:
    from lamplighter_agent.store.carried import CarriedFile

_LOG = logging.getLogger(__name__)
_COPY_BYTES = 1024 * 1024


class Carrier:
    """A transport that asks the broker, and the carried file where there is one.

    Args:
        path: Where `lamplighter-agent apply` puts the file.
        enrolment: Whom it must be for.
        link: The transport to the broker.
        deliver: Takes each message, wherever it came from.
        on_problem: Told why a file is not used.
    """

    def __init__(
        self,
        path: Path,
        enrolment: Enrolment,
        link: Transport,
        deliver: Callable[[str, bytes], None],
        on_problem: Callable[[LamplighterError], None],
    ) -> None:
        self._path = path
        self._device = enrolment.device
        self._topics = Topics(enrolment.fleet)
        self._link = link
        self._deliver = deliver
        self._on_problem = on_problem
        self._file: CarriedFile | None = None
        self._seen: tuple[int, int] | None = None

    @property
    def present(self) -> bool:
        """Whether a file is in use: what it brings was not fetched from anywhere else."""
        return self._file is not None

    def look(self) -> None:
        """Take up a file that is new: its metadata and its assignment are delivered."""
        try:
            state = self._path.stat()
        except FileNotFoundError:
            return
        if self._seen == (state.st_ino, state.st_mtime_ns):
            return
        self.close()
        self._seen = (state.st_ino, state.st_mtime_ns)
        try:
            self._file = open_carried(self._path, self._topics, self._device)
            _LOG.info("an update was carried here: %d entries", len(self._file.names))
            for name in self._file.names:
                if "/blob/" not in name:
                    self._deliver(name, self._file.read(name))
        except LamplighterError as error:
            self._on_problem(error)
            self.settle()

    def subscribe(self, topics: Sequence[str], qos: int = 0) -> None:
        """See ports.transport. What was carried comes as soon as the caller has returned."""
        self._link.subscribe(topics, qos)
        if self._file is not None:
            loop, carried = asyncio.get_running_loop(), set(self._file.names)
            for topic in carried.intersection(topics):
                loop.call_soon(self._give, topic)

    def _give(self, topic: str) -> None:
        if self._file is None:
            return
        try:
            raw = self._file.read(topic)
        except LamplighterError as error:
            self._on_problem(error)
        else:
            self._deliver(topic, raw)

    def unsubscribe(self, topics: Sequence[str]) -> None:
        """See ports.transport."""
        self._link.unsubscribe(topics)

    def settle(self) -> None:
        """Remove the file: it has given what it had, or was refused."""
        if self._seen is not None:
            self.close()
            self._path.unlink(missing_ok=True)
            self._seen = None

    def close(self) -> None:
        """Close the file and leave it for the next start."""
        if self._file is not None:
            self._file.close()
            self._file = None


def open_carried(path: Path, topics: Topics, device: str) -> "CarriedFile":
    """Open a file; what reads archives is loaded only now.

    Raises:
        LamplighterError: As CarriedFile.
    """
    from lamplighter_agent.store.carried import CarriedFile

    return CarriedFile(path, topics, device)


def hand_in(place: Path, destination: Path, enrolment: Enrolment) -> Path:
    """Check a file, or the one for this device in a folder, and put it where the agent looks.

    Every entry is read once, so that a bad copy is told to whoever stands before the board.

    Raises:
        LamplighterError: NOT_FOUND, DISK_FULL, or as CarriedFile.
    """
    chosen = place / f"{enrolment.device}{SUFFIX}" if place.is_dir() else place
    if not chosen.is_file():
        raise LamplighterError("NOT_FOUND", f"There is no file {chosen}.")
    carried = open_carried(chosen, Topics(enrolment.fleet), enrolment.device)
    try:
        for name in carried.names:
            carried.read(name)
    finally:
        carried.close()
    beside = destination.with_name(f"{destination.name}.new")
    beside.unlink(missing_ok=True)
    with disk_errors(), chosen.open("rb") as source:
        descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644)
        with os.fdopen(descriptor, "wb") as copy:
            while part := source.read(_COPY_BYTES):
                copy.write(part)
            copy.flush()
            os.fsync(copy.fileno())
        beside.replace(destination)
        fsync_directory(destination.parent)
    return chosen
