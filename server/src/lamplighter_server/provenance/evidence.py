"""What was measured on a release, as far as its provenance tells it: pure."""

from typing import Any, Final

import msgspec

from lamplighter_protocol.assignment import AssignedModel
from lamplighter_protocol.errors import LamplighterError
from lamplighter_protocol.names import Name, Release, Sha256

_SCORES: Final = ("rows", "accuracy", "macro_f1", "log_loss")


class Parity(msgspec.Struct, frozen=True, kw_only=True):
    """The certificate that a converted variant answers as the estimator does."""

    variant: Name
    rows: int
    agreement: float
    """The share of rows with the same label, 0 to 1."""
    max_abs_difference: float


class Evidence(msgspec.Struct, frozen=True, kw_only=True):
    """`evidence.json`; what else it holds is not looked at."""

    model: Name
    release: Release
    bundle_sha256: Sha256
    parity: tuple[Parity, ...]
    variants: dict[str, dict[str, Any]]

    def scores(self, variant: str) -> dict[str, Any]:
        """The held-out metrics of one variant."""
        measured = self.variants.get(variant, {})
        return {name: measured[name] for name in _SCORES if name in measured}

    def parity_of(self, variant: str) -> Parity:
        """The parity certificate of one variant.

        Raises:
            LamplighterError: PARITY_REFUSED.
        """
        found = next((item for item in self.parity if item.variant == variant), None)
        if found is None:
            raise LamplighterError("PARITY_REFUSED", f"{variant} has no parity certificate.")
        return found


def read_evidence(raw: bytes, assigned: AssignedModel) -> Evidence:
    """Read the evidence of an assigned release.

    Raises:
        LamplighterError: MESSAGE_MALFORMED, or TRUST_REFUSED if it is of another release.
    """
    try:
        evidence = msgspec.json.decode(raw, type=Evidence)
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        raise LamplighterError(
            "MESSAGE_MALFORMED", f"The evidence cannot be read: {error}."
        ) from error
    measured = (evidence.model, evidence.release, evidence.bundle_sha256)
    if measured != (assigned.model, assigned.release, assigned.manifest.sha256):
        raise LamplighterError(
            "TRUST_REFUSED", f"It is of {evidence.model} release {evidence.release}."
        )
    return evidence
