"""The journal: one document with what the agent must remember, replaced durably as a whole."""

import logging
import time
from pathlib import Path
from typing import Annotated

import msgspec

from lamplighter_agent.core.state import ModelState
from lamplighter_agent.durable import replace
from lamplighter_protocol.assignment import Assignment, Generation
from lamplighter_protocol.names import Count, Name

_LOG = logging.getLogger(__name__)


class Document(msgspec.Struct, frozen=True, kw_only=True):
    """What the journal holds."""

    format: int = 1
    report_counter: Count = 0
    """The counter of the newest report."""
    generation: Generation | None = None
    """The newest generation ever accepted."""
    assignment: bytes | None = None
    """The envelope of that generation, as received."""
    window_s: Annotated[int, msgspec.Meta(ge=1)] = 60
    """The window length of that assignment; it outlives the assignment's expiry."""
    models: dict[Name, ModelState] = {}


def read_document(path: Path) -> Document | None:
    """The journal as it stands, for whoever only follows it.

    Returns:
        None if there is none that can be read.
    """
    try:
        return msgspec.json.decode(path.read_bytes(), type=Document)
    except (OSError, msgspec.MsgspecError, ValueError, RecursionError):
        return None


class Journal:
    """Reads once, remembers, and writes every change before it takes effect.

    A damaged journal is set aside. The agent then starts from its identity and its blobs, and
    counts its reports from the present time in milliseconds: above all that it sent before, as it
    never sent a thousand a second.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self.was_damaged = False
        try:
            self.document = msgspec.json.decode(path.read_bytes(), type=Document)
        except FileNotFoundError:
            self.document = Document()
        except (msgspec.MsgspecError, ValueError, RecursionError) as error:
            _LOG.error("STORE_CORRUPT: the journal is set aside: %s", error)
            path.replace(path.with_name(f"{path.name}.damaged"))
            self.was_damaged = True
            self.document = Document(report_counter=int(time.time() * 1000))

    def _write(self, **changes: object) -> None:
        document = msgspec.structs.replace(self.document, **changes)
        replace(self._path, msgspec.json.encode(document))
        self.document = document

    def model(self, name: str) -> ModelState:
        """What is known of a model; nothing yet is a state too."""
        return self.document.models.get(name, ModelState(model=name))

    def save_model(self, model: ModelState) -> None:
        """Remember a model.

        Raises:
            LamplighterError: DISK_FULL; nothing has changed then.
        """
        self._write(models={**self.document.models, model.model: model})

    def forget_model(self, name: str) -> None:
        """Remember nothing of a model any more."""
        left = {key: model for key, model in self.document.models.items() if key != name}
        self._write(models=left)

    def save_assignment(self, assignment: Assignment, envelope: bytes) -> None:
        """Remember the newest accepted assignment."""
        self._write(
            generation=assignment.generation, window_s=assignment.window_s, assignment=envelope
        )

    def next_report(self) -> int:
        """Take a report counter that was never used before."""
        self._write(report_counter=self.document.report_counter + 1)
        return self.document.report_counter
