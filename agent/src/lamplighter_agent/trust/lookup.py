"""Which role answers for a target: the pre-order depth-first search of TUF (5.6.7)."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from tuf.api.metadata import TargetFile, Targets

from lamplighter_protocol.errors import LamplighterError

MAX_VISITS: Final = 256


@dataclass(frozen=True)
class Found:
    """The outcome of a search.

    Attributes:
        target: What is signed, or None if no role names the path.
        roles: The roles that were asked, in order; the last one has signed the target.
    """

    target: TargetFile | None
    roles: tuple[str, ...]


def find_target(path: str, top: Targets, load: Callable[[str, Targets], Targets]) -> Found:
    """Ask the top-level role, then the roles that it delegates the path to, each depth first.

    A role that has to be asked and cannot be loaded ends the search: what it would have said is
    unknown, and a role behind it must not answer in its place.

    Args:
        path: The target path.
        top: The top-level targets.
        load: Gives a role's targets, verified against the targets that delegate to it.

    Raises:
        LamplighterError: TRUST_REFUSED if too many roles would be asked, and what `load` raises.
    """
    visited = ["targets"]
    to_visit: list[tuple[str, Targets]] = []
    targets = top
    while (target := targets.targets.get(path)) is None:
        children: list[tuple[str, Targets]] = []
        if targets.delegations is not None:
            for child, terminating in targets.delegations.get_roles_for_target(path):
                children.append((child, targets))
                if terminating:
                    to_visit = []
                    break
        to_visit += reversed(children)
        while to_visit and to_visit[-1][0] in visited:  # a cycle, or reached before
            to_visit.pop()
        if not to_visit:
            break
        if len(visited) >= MAX_VISITS:
            raise LamplighterError("TRUST_REFUSED", f"{path} is delegated through too many roles.")
        role, delegator = to_visit.pop()
        targets = load(role, delegator)
        visited.append(role)
    return Found(target, tuple(visited))
