"""The newest generation that was ever accepted; beside the identity, so that it outlives a journal.

Without it a lost journal would let an older envelope of the same epoch be accepted again.
"""

import logging
from pathlib import Path

import msgspec

from lamplighter_agent.durable import replace, set_aside
from lamplighter_protocol.assignment import HighWater
from lamplighter_protocol.names import Sha256

_LOG = logging.getLogger(__name__)


class _Document(msgspec.Struct, frozen=True, kw_only=True):
    pinned_root_sha256: Sha256
    """What is remembered holds under one first trust; a new one begins anew."""
    mark: HighWater


class HighWaterFile:
    """Remembers the mark of one first trust.

    Args:
        path: The file; it is missing until something was accepted.
        pinned_root_sha256: Digest of the root that the invitation pinned.
    """

    def __init__(self, path: Path, pinned_root_sha256: str) -> None:
        self._path = path
        self._pinned = pinned_root_sha256
        self.mark = self._read()

    def _read(self) -> HighWater | None:
        try:
            document = msgspec.json.decode(self._path.read_bytes(), type=_Document)
        except FileNotFoundError:
            return None
        except (OSError, msgspec.MsgspecError, ValueError, RecursionError) as error:
            _LOG.error("STORE_CORRUPT: %s is set aside: %s", self._path.name, error)
            set_aside(self._path)
            return None
        return document.mark if document.pinned_root_sha256 == self._pinned else None

    def raise_to(self, mark: HighWater) -> None:
        """Remember a mark before anything rests on it.

        Raises:
            LamplighterError: DISK_FULL, DISK_FAILED.
        """
        if mark != self.mark:
            document = _Document(pinned_root_sha256=self._pinned, mark=mark)
            replace(self._path, msgspec.json.encode(document))
            self.mark = mark
