"""The journal: one document with what the agent must remember, replaced durably as a whole."""

import hashlib
import logging
from pathlib import Path
from typing import Annotated

import msgspec

from lamplighter_agent.core.state import ModelState
from lamplighter_agent.durable import replace, set_aside
from lamplighter_protocol.assignment import Assignment, Generation
from lamplighter_protocol.names import Name

_LOG = logging.getLogger(__name__)


class Document(msgspec.Struct, frozen=True, kw_only=True):
    """What the journal holds."""

    format: int = 1
    generation: Generation | None = None
    """The newest generation ever accepted."""
    assignment: bytes | None = None
    """The envelope of that generation, as received."""
    window_s: Annotated[int, msgspec.Meta(ge=1)] = 60
    """The window length of that assignment; it outlives the assignment's expiry."""
    models: dict[Name, ModelState] = {}


def encode_journal(document: Document) -> bytes:
    """The document after a line with its SHA-256."""
    raw = msgspec.json.encode(document)
    return hashlib.sha256(raw).hexdigest().encode() + b"\n" + raw


def decode_journal(raw: bytes) -> Document:
    """Read a document of which no byte has changed since it was written.

    Raises:
        ValueError: It is damaged.
    """
    digest, _, body = raw.partition(b"\n")
    if digest != hashlib.sha256(body).hexdigest().encode():
        raise ValueError("the checksum is wrong")
    try:
        return msgspec.json.decode(body, type=Document)
    except RecursionError as error:
        raise ValueError("it is nested too deeply") from error


def read_document(path: Path) -> Document | None:
    """The journal as it stands, for whoever only follows it.

    Returns:
        None if there is none that can be read.
    """
    try:
        return decode_journal(path.read_bytes())
    except (OSError, ValueError):
        return None


class Journal:
    """Reads once, remembers, and writes every change before it takes effect.

    The document before the newest one is kept: every journalled state has a restart rule, so a
    device may always go on from one state earlier. Where both are damaged, the agent starts from
    its identity and its blobs.

    Args:
        path: The file; the one before stands beside it.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._before = path.with_name(f"{path.name}.before")
        self.document = next(filter(None, map(_read, (path, self._before))), Document())

    def _write(self, **changes: object) -> None:
        document = msgspec.structs.replace(self.document, **changes)
        replace(self._path, encode_journal(document), keep=self._before)
        self.document = document

    def model(self, name: str) -> ModelState:
        """What is known of a model; nothing yet is a state too."""
        return self.document.models.get(name, ModelState(model=name))

    def save_model(self, model: ModelState) -> None:
        """Remember a model.

        Raises:
            LamplighterError: DISK_FULL, DISK_FAILED; nothing has changed in memory then.
        """
        self._write(models={**self.document.models, model.model: model})

    def forget_model(self, name: str) -> None:
        """Remember nothing of a model any more.

        Raises:
            LamplighterError: DISK_FULL, DISK_FAILED.
        """
        left = {key: model for key, model in self.document.models.items() if key != name}
        self._write(models=left)

    def save_assignment(self, assignment: Assignment, envelope: bytes) -> None:
        """Remember the newest accepted assignment.

        Raises:
            LamplighterError: DISK_FULL, DISK_FAILED.
        """
        self._write(
            generation=assignment.generation, window_s=assignment.window_s, assignment=envelope
        )


def _read(path: Path) -> Document | None:
    try:
        return decode_journal(path.read_bytes())
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        _LOG.error("STORE_CORRUPT: %s is set aside: %s", path.name, error)
        set_aside(path)
        return None
