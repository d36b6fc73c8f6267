"""Who changes something: named in every transaction, written to the audit log."""

from dataclasses import dataclass
from typing import Final, Literal


@dataclass(frozen=True)
class Actor:
    """A person, a token, a device, or the server itself.

    Attributes:
        kind: What sort of actor it is.
        name: Which one: a user's name, a token's id, a device's id, a part of the server.
    """

    kind: Literal["user", "token", "device", "machine"]
    name: str

    def __str__(self) -> str:
        return f"{self.kind}:{self.name}"


#: The server acting by itself: ticks, ingest, the relay.
SERVER: Final = Actor("machine", "server")
