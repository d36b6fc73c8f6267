"""Refusals on their way to the log: bounded, so that a flood of them fills no disk. Pure."""

from typing import Any, Final

from lamplighter_server.actor import SERVER
from lamplighter_server.audit.chain import Entry

#: So many may come at once; after that, one for each time they are taken (once a tick).
BURST: Final = 100
SUPPRESSED: Final = "suppressed"
_MAX_TEXT: Final = 500


class Notes:
    """Collects what was refused, and gives it out no faster than the log may grow."""

    def __init__(self) -> None:
        self._waiting: list[Entry] = []
        self._budget = BURST
        self._suppressed = 0

    def add(self, actor: str, action: str, subject: str, details: dict[str, Any]) -> None:
        """Take a note; beyond the budget it is only counted."""
        if len(self._waiting) >= self._budget:
            self._suppressed += 1
            return
        after = {name: _clean(value) for name, value in details.items()}
        self._waiting.append(Entry(_clean(actor), action, _clean(subject), None, after))

    def put_back(self, entries: list[Entry]) -> None:
        """The log could not take them yet."""
        self._waiting[:0] = entries

    def take(self) -> list[Entry]:
        """What is to be written now, and how many more there were."""
        taken, self._waiting = self._waiting, []
        self._budget = min(BURST, self._budget - len(taken) + 1)
        if self._suppressed and self._budget > 0:
            taken.append(Entry(str(SERVER), SUPPRESSED, "audit", None, {"notes": self._suppressed}))
            self._suppressed = 0
        return taken


def _clean(value: Any) -> Any:  # noqa: ANN401 - JSON
    """Texts that somebody else wrote, as every database takes them, and not too long."""
    if not isinstance(value, str):
        return value
    printable = "".join(
        letter if letter.isprintable() else "\N{REPLACEMENT CHARACTER}" for letter in value
    )
    return printable[:_MAX_TEXT]
