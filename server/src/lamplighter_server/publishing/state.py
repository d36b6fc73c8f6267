"""What a signer knows, kept beside the keys: no server is believed over it."""

from pathlib import Path
from typing import Final

from lamplighter_server.files import write_durably
from lamplighter_server.publishing.case import Case, read_case, write_case
from lamplighter_server.trust.roles import (
    ROOT,
    TARGETS,
    Roles,
    delegated_model,
    same_statement,
)

_PENDING: Final = "pending.case"


class SignedState:
    """The signer's own metadata, verified last, and the case that was signed since.

    A case is kept before it is sent: if the answer is lost, the next run knows what was signed.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    @property
    def own(self) -> Roles:
        """The metadata that were verified last, by role; none before the first contact."""
        return {
            path.stem: path.read_bytes()
            for path in sorted(self._folder.glob("*.json"))
            if path.stem in {ROOT, TARGETS} or delegated_model(path.stem) is not None
        }

    @property
    def pending(self) -> Case | None:
        """The case that waits for signatures or for the server's answer."""
        path = self._folder / _PENDING
        return read_case(path) if path.exists() else None

    def keep(self, case: Case) -> None:
        """Keep a case that was signed."""
        write_case(self._folder / _PENDING, case)

    def drop(self) -> None:
        """Give the pending case up."""
        (self._folder / _PENDING).unlink(missing_ok=True)

    def adopt(self, roles: Roles) -> None:
        """Take metadata as known: they were shown to the signer, or signed here."""
        for role, raw in roles.items():
            write_durably(self._folder / f"{role}.json", raw)

    def reconcile(self, current: Roles) -> None:
        """Take the pending case as known if the server has it by now; give up one it overtook."""
        case = self.pending
        if case is None:
            return
        if _is(case.proposed, current):
            self.adopt({**self.own, **{role: current[role] for role in case.proposed}})
            self.drop()
        elif bool(case.current) != bool(current) or not _is(case.current, current):
            self.drop()


def _is(roles: Roles, current: Roles) -> bool:
    return all(
        role in current and same_statement(role, raw, current[role]) for role, raw in roles.items()
    )
