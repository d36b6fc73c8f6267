"""What a program that publishes does about gates: go on, ask for an override, or stop."""

from collections.abc import Sequence
from typing import Any

from lamplighter_protocol.errors import LamplighterError
from lamplighter_server.cli.api import Api
from lamplighter_server.validation.results import GateResult, Override


def settle(
    api: Api,
    *,
    model: str,
    bundle_sha256: str,
    results: Sequence[GateResult],
    reason: str | None,
) -> Override | None:
    """Whether a bundle may be published; what comes back belongs into its evidence.

    Repeating it is harmless: once somebody has approved, the same call returns the override.

    Args:
        api: The server.
        model: Of the bundle.
        bundle_sha256: The digest of its manifest.
        results: What the gates say.
        reason: Why a person takes the responsibility for gates that have not passed, or None.

    Returns:
        None if every gate has passed.

    Raises:
        LamplighterError: GATE_FAILED without a reason; APPROVAL_MISSING if somebody else must agree
            first; and what the server refuses with.
    """
    stopped = [item for item in results if item.outcome != "passed"]
    if not stopped:
        return None
    if reason is None:
        raise LamplighterError("GATE_FAILED", "; ".join(describe(item) for item in stopped))
    asked = {
        "model": model,
        "bundle_sha256": bundle_sha256,
        "gates": [item.gate for item in stopped],
        "reason": reason,
    }
    found: dict[str, Any] = api.post("/api/v1/overrides", asked)
    if not found["in_force"]:
        raise LamplighterError(
            "APPROVAL_MISSING",
            f"Somebody else than {found['person']} must agree: "
            f"'lamplighter override approve {bundle_sha256[:12]}'. Then publish again.",
        )
    return Override(
        person=found["person"], reason=found["reason"], approved_by=found["approved_by"]
    )


def describe(result: GateResult) -> str:
    """One gate in a line."""
    return f"{result.outcome}: {result.gate} ({result.sentence.removesuffix('.')})"
