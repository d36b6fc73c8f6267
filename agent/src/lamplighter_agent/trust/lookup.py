"""Which role answers for a target: the pre-order depth-first search of TUF (5.6.7)."""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final

from tuf.api.metadata import DelegatedRole, TargetFile, Targets

from lamplighter_protocol.errors import LamplighterError

MAX_VISITS: Final = 256
_WILDCARD: Final = re.compile(r"[*?\[]")


@dataclass(frozen=True)
class Found:
    """The outcome of a search.

    Attributes:
        target: What is signed, or None if no role names the path.
        roles: The roles that were asked, in order; the last one has signed the target.
    """

    target: TargetFile | None
    roles: tuple[str, ...]


class Search:
    """Asks the top-level role, then the roles that it delegates a path to, each depth first.

    A role that has to be asked and cannot be loaded ends the search: what it would have said is
    unknown, and a role behind it must not answer in its place.

    Args:
        top: The top-level targets.
        load: Gives a role's targets, verified against the targets that delegate to it.
    """

    def __init__(self, top: Targets, load: Callable[[str, Targets], Targets]) -> None:
        self._top = top
        self._load = load
        self._beginnings: dict[int, tuple[str, ...]] = {}

    def find(self, path: str) -> Found:
        """Look one target path up.

        Raises:
            LamplighterError: TRUST_REFUSED if too many roles would be asked, and what `load`
                raises.
        """
        targets, visited = self._top, ["targets"]
        to_visit: list[tuple[str, Targets]] = []
        while (target := targets.targets.get(path)) is None:
            children = []
            for role, terminating in self._delegated(targets, path):
                children.append((role, targets))
                if terminating:
                    to_visit = []
                    break
            to_visit += reversed(children)
            while to_visit and to_visit[-1][0] in visited:  # a cycle, or reached before
                to_visit.pop()
            if not to_visit:
                break
            if len(visited) >= MAX_VISITS:
                raise LamplighterError("TRUST_REFUSED", f"Too many roles speak for {path}.")
            role, delegator = to_visit.pop()
            targets = self._load(role, delegator)
            visited.append(role)
        return Found(target, tuple(visited))

    def _delegated(self, targets: Targets, path: str) -> Iterator[tuple[str, bool]]:
        """The roles for a path; python-tuf matches, but only patterns that begin like the path."""
        delegations = targets.delegations
        if delegations is None or delegations.roles is None:
            yield from delegations.get_roles_for_target(path) if delegations else ()
            return
        for role in delegations.roles.values():
            if id(role) not in self._beginnings:
                self._beginnings[id(role)] = _beginnings(role)
            if path.startswith(self._beginnings[id(role)]) and role.is_delegated_path(path):
                yield role.name, role.terminating


def _beginnings(role: DelegatedRole) -> tuple[str, ...]:
    """What stands before the first wildcard of each pattern; nothing before a hash prefix."""
    patterns = [""] if role.paths is None else role.paths
    return tuple(_WILDCARD.split(pattern, maxsplit=1)[0] for pattern in patterns)
