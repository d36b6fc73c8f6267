"""What was fetched in this period: a small file that outlives restarts."""

import logging
from pathlib import Path
from typing import Final

import msgspec

from lamplighter_agent.core.budget import Spent
from lamplighter_agent.durable import replace
from lamplighter_protocol.errors import LamplighterError

_LOG = logging.getLogger(__name__)
#: So much at most is forgotten in a power cut.
SAVE_BYTES: Final = 1024 * 1024


class SpentFile:
    """Remembers the count, durably from time to time."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.spent = self._saved = self._read()

    def _read(self) -> Spent | None:
        try:
            return msgspec.json.decode(self._path.read_bytes(), type=Spent)
        except FileNotFoundError:
            return None
        except (OSError, msgspec.MsgspecError, ValueError, RecursionError) as error:
            _LOG.error("STORE_CORRUPT: %s counts anew: %s", self._path.name, error)
            return None

    def note(self, spent: Spent) -> None:
        """Take the new count; it is stored when it has grown enough."""
        self.spent = spent
        saved = self._saved
        if (
            saved is None
            or saved.period != spent.period
            or spent.size_bytes - saved.size_bytes >= SAVE_BYTES
        ):
            self.save()

    def save(self) -> None:
        """Store the count; a disk that takes nothing stops no fetch by that."""
        if self.spent is None or self.spent == self._saved:
            return
        try:
            replace(self._path, msgspec.json.encode(self.spent))
        except (LamplighterError, OSError) as error:
            _LOG.warning("%s is not stored: %s", self._path.name, error)
        else:
            self._saved = self.spent
