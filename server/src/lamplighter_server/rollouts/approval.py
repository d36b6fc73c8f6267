"""Four eyes: who may approve a rollout, and when it may start. Pure.

People are told apart by their user's name, never by a credential: password, single sign-on and
every token of a person are the same person.
"""

from collections.abc import Collection

from lamplighter_protocol.errors import LamplighterError
from lamplighter_server.rollouts.states import Status


def check_approver(rollout: str, authors: Collection[str], person: str) -> None:
    """Nobody approves what they planned or changed themselves, whatever their role.

    Raises:
        LamplighterError: APPROVER_IS_CREATOR.
    """
    if person in authors:
        raise LamplighterError(
            "APPROVER_IS_CREATOR", f"{person} has planned {rollout} and cannot approve it."
        )


def check_start(
    rollout: str, status: Status, authors: Collection[str], *, needs_approval: bool
) -> None:
    """A draft that needs an approval does not start.

    Raises:
        LamplighterError: APPROVAL_MISSING.
    """
    if needs_approval and status == "draft":
        raise LamplighterError(
            "APPROVAL_MISSING",
            f"{rollout} waits for approval by somebody else than {', '.join(sorted(authors))}.",
        )
