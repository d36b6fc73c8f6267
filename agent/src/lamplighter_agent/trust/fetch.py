"""The port through which metadata comes, and the folder that MQTT fills behind it."""

from pathlib import Path
from typing import Protocol

from lamplighter_protocol.errors import LamplighterError


class Fetch(Protocol):
    """Brings one file of a repository."""

    def __call__(self, name: str, max_bytes: int) -> bytes | None:
        """Read a file, and never more of it than `max_bytes`.

        Returns:
            None if the repository does not have it.

        Raises:
            LamplighterError: MESSAGE_TOO_LARGE, or FETCH_STALLED if it does not come.
        """


class InboxFetch:
    """Reads what the broker delivered."""

    def __init__(self, inbox: Path) -> None:
        self._inbox = inbox

    def __call__(self, name: str, max_bytes: int) -> bytes | None:
        """See Fetch."""
        try:
            with (self._inbox / name).open("rb") as file:
                return bounded(name, file.read(max_bytes + 1), max_bytes)
        except FileNotFoundError:
            return None


def bounded(name: str, raw: bytes, max_bytes: int) -> bytes:
    """Refuse endless data; `raw` is at most one byte longer than allowed.

    Raises:
        LamplighterError: MESSAGE_TOO_LARGE.
    """
    if len(raw) > max_bytes:
        raise LamplighterError("MESSAGE_TOO_LARGE", f"{name} has more than {max_bytes} bytes.")
    return raw
