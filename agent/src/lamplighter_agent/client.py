"""Inference inside of a Python application, on the release that the agent has made active.

    from lamplighter_agent.client import Client

    with Client() as client:
        outputs = client.infer("meter-digits", {"image": image})

The model runs in the application's own process: nothing is copied through a socket, and nothing
separates a crash of the runtime from the application. A new release is loaded in the background and
takes over between two calls. What is answered is counted in the signed bins and handed to the
agent; while the agent is down, the last verified release goes on and the counts are kept.
"""

import logging
import threading
import time
from collections.abc import Mapping
from datetime import datetime, timezone
from pathlib import Path
from types import TracebackType
from typing import Final

from lamplighter_agent.app.config import DataDir
from lamplighter_agent.app.handing import Handing
from lamplighter_agent.app.resident import Resident, load_resident
from lamplighter_agent.app.windows import window_start
from lamplighter_agent.core.state import Installed
from lamplighter_agent.ports.session import Array
from lamplighter_agent.store.journal import Document, read_document
from lamplighter_protocol.errors import LamplighterError

#: How often the agent's journal is looked at, and how often counts are binned.
LOOK_S: Final = 0.25
#: How long to wait after a release could not be loaded.
RETRY_S: Final = 10.0

_LOG = logging.getLogger(__name__)


class Client:
    """Follows the agent on this board. `infer` may be called by several threads.

    Args:
        data_dir: The agent's data directory, as for `lamplighter-agent --data-dir`; readable, and
            for the handing over of counts its sockets writable, by the application's user.
    """

    def __init__(self, data_dir: Path | None = None) -> None:
        self._data = DataDir.choose(data_dir)
        self._handing = Handing(self._data.counts)
        self._residents: dict[str, Resident] = {}
        self._retired: list[Resident] = []
        """Until their last counts are taken: a call may still have been under way."""
        self._retry_mono: dict[str, float] = {}
        self._document_read = Document()
        self._version: object = None
        self._loading = threading.Lock()
        self._reading = threading.Lock()
        self._stopped = threading.Event()
        self._following = threading.Thread(target=self._follow, name="lamplighter", daemon=True)

    def __enter__(self) -> "Client":  # noqa: PYI034 - typing.Self is of Python 3.11
        """Begin to follow."""
        self._following.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        """Hand over the last counts."""
        self._stopped.set()
        self._following.join()

    def infer(self, model: str, inputs: Mapping[str, Array]) -> dict[str, Array]:
        """Answer a batch with the active release.

        Args:
            model: The model's name.
            inputs: Arrays by tensor name, of the signed shapes and types; they are not kept.

        Returns:
            Arrays by output name.

        Raises:
            LamplighterError: NOT_FOUND if the agent has no release of this model,
                REQUEST_INVALID, INFERENCE_FAILED; STORE_CORRUPT or MODEL_LOAD_FAILED at the first
                call for a model.
        """
        resident = self._residents.get(model)
        if resident is None:
            resident = self._first(model)
        return resident.infer(inputs)

    def release(self, model: str) -> int:
        """The number of the release that answers now.

        Raises:
            LamplighterError: As for `infer`.
        """
        return (self._residents.get(model) or self._first(model)).installed.release

    def _first(self, model: str) -> Resident:
        with self._loading:
            if (found := self._residents.get(model)) is None:
                installed = self._wanted(model)
                if installed is None:
                    raise LamplighterError(
                        "NOT_FOUND", f"The agent at {self._data.path} has no release of {model}."
                    )
                found = self._residents[model] = load_resident(self._data.blobs, installed)
            return found

    def _wanted(self, model: str) -> Installed | None:
        state = self._document().models.get(model)
        return state.serving if state else None

    def _document(self) -> Document:
        """The agent's journal, read again when it was replaced; a damaged one changes nothing."""
        with self._reading:
            try:
                found = self._data.journal.stat()
            except OSError:
                return self._document_read
            version = (found.st_ino, found.st_mtime_ns, found.st_size)
            if version != self._version:
                read = read_document(self._data.journal)
                self._version, self._document_read = version, read or self._document_read
            return self._document_read

    # The thread that follows

    def _follow(self) -> None:
        start_utc, length_s = self._window()
        while not self._stopped.wait(LOOK_S):
            for model in list(self._residents):
                self._look(model)
            for resident in list(self._residents.values()):
                resident.settle()
            if self._window() != (start_utc, length_s):
                self._hand_over(start_utc, length_s)
                start_utc, length_s = self._window()
        self._hand_over(start_utc, length_s)

    def _window(self) -> tuple[datetime, int]:
        """Start and length of the present window."""
        length_s = self._document().window_s
        return window_start(datetime.now(timezone.utc), length_s), length_s

    def _look(self, model: str) -> None:
        """Follow the agent to another release, or to none."""
        present, wanted = self._residents[model], self._wanted(model)
        if wanted is not None and wanted.is_same(present.installed):
            return
        if time.monotonic() < self._retry_mono.get(model, 0.0):
            return
        try:
            if wanted is None:
                del self._residents[model]
            else:
                self._residents[model] = load_resident(self._data.blobs, wanted)
        except LamplighterError as error:
            _LOG.warning("%s stays at release %d: %s", model, present.installed.release, error)
            self._retry_mono[model] = time.monotonic() + RETRY_S
        else:
            self._retired.append(present)

    def _hand_over(self, start_utc: datetime, length_s: int) -> None:
        for resident in [*self._retired, *self._residents.values()]:
            self._handing.keep(resident)
        self._retired.clear()
        self._handing.offer(start_utc, length_s)
