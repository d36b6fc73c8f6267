"""Whether a release may be published, by its evidence and by what people have decided. Pure."""

from collections.abc import Collection
from typing import Any

import msgspec

from lamplighter_protocol.errors import LamplighterError
from lamplighter_server.validation.results import Judged, Override


class Decision(msgspec.Struct, frozen=True, kw_only=True):
    """An override as it is stored."""

    gates: Collection[str]
    override: Override
    needs_approval: bool

    @property
    def in_force(self) -> bool:
        """Whether somebody else has agreed, if that is needed."""
        return not self.needs_approval or self.override.approved_by is not None


def read_judged(evidence: dict[str, Any]) -> Judged:
    """What the gates said; without gates nothing stands in the way.

    Raises:
        LamplighterError: MESSAGE_MALFORMED.
    """
    try:
        return msgspec.convert(evidence.get("validation", {}), Judged)
    except msgspec.ValidationError as error:
        raise LamplighterError(
            "MESSAGE_MALFORMED", f"The evidence's gates cannot be read: {error}."
        ) from error


def check_published(judged: Judged, decision: Decision | None) -> None:
    """Every gate has passed, or a decision that stands in the evidence covers it.

    Raises:
        LamplighterError: GATE_FAILED or APPROVAL_MISSING.
    """
    if not judged.not_passed:
        return
    said = "; ".join(f"{item.gate}: {item.outcome}" for item in judged.not_passed)
    if decision is None:
        raise LamplighterError("GATE_FAILED", f"Nobody has overridden {said}.")
    if not decision.in_force:
        raise LamplighterError(
            "APPROVAL_MISSING",
            f"The override waits for somebody else than {decision.override.person}.",
        )
    uncovered = [item.gate for item in judged.not_passed if item.gate not in decision.gates]
    if uncovered:
        raise LamplighterError("GATE_FAILED", f"The override does not cover {uncovered[0]}.")
    if judged.override != decision.override:
        raise LamplighterError("GATE_FAILED", "The evidence does not tell of the override.")


def check_approver(person: str, asker: str) -> None:
    """Nobody approves an override that they asked for themselves, whatever their role.

    Raises:
        LamplighterError: APPROVER_IS_CREATOR.
    """
    if person == asker:
        raise LamplighterError(
            "APPROVER_IS_CREATOR", f"{person} has asked for this override and cannot approve it."
        )
