"""Which board somebody means who decides: pure."""

from collections.abc import Sequence
from typing import Any, Final

from lamplighter_protocol.errors import LamplighterError

#: Of a fingerprint, so much has to be said at least: 32 bits.
LEAST_DIGITS: Final = 8


def choose(pending: Sequence[dict[str, Any]], device: str, fingerprint: str) -> dict[str, Any]:
    """The one that waits under a name, or whose fingerprint begins as said.

    Args:
        pending: As the API lists them.
        device: The name that it asks for.
        fingerprint: As the board shows it, or its beginning; empty if it was not said.

    Raises:
        LamplighterError: ENROLMENT_UNKNOWN, or ENROLMENT_AMBIGUOUS if several ask for the name.
    """
    named = [item for item in pending if item["device"] == device]
    if not named:
        raise LamplighterError("ENROLMENT_UNKNOWN", f"No board asks to be {device}.")
    said = _digits(fingerprint)
    if said:
        if len(said) < LEAST_DIGITS:
            raise LamplighterError(
                "ENROLMENT_AMBIGUOUS", f"{fingerprint} is too short: {LEAST_DIGITS} digits or more."
            )
        named = [item for item in named if _digits(item["fingerprint"]).startswith(said)]
        if not named:
            raise LamplighterError(
                "ENROLMENT_UNKNOWN", f"No board that asks to be {device} shows {fingerprint}."
            )
    if len(named) > 1:
        shown = ", ".join(item["fingerprint"] for item in named)
        raise LamplighterError("ENROLMENT_AMBIGUOUS", f"Several ask to be {device}: {shown}.")
    return named[0]


def _digits(fingerprint: str) -> str:
    return fingerprint.replace("-", "").replace(" ", "").lower()
