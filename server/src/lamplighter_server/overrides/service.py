"""Asking for an override, approving it, and asking whether a release may be published."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from lamplighter_protocol.errors import LamplighterError
from lamplighter_server.context import Context
from lamplighter_server.overrides.models import GateOverride
from lamplighter_server.overrides.verdict import (
    Decision,
    check_approver,
    check_published,
    read_judged,
)
from lamplighter_server.people.access import Caller
from lamplighter_server.validation.results import Override


async def ask(
    context: Context,
    session: AsyncSession,
    by: Caller,
    *,
    model: str,
    bundle_sha256: str,
    gates: Sequence[str],
    reason: str,
) -> GateOverride:
    """Ask that a bundle be published in spite of gates. Asking for something else voids approval.

    Args:
        context: The server.
        session: The caller's transaction.
        by: Who takes the responsibility.
        model: Of the bundle.
        bundle_sha256: The digest of its manifest.
        gates: The names of the gates that have not passed.
        reason: Why, in words.
    """
    row = await session.get(GateOverride, bundle_sha256, with_for_update=True)
    wanted = (by.person, reason, sorted(set(gates)))
    if row is None:
        row = GateOverride(bundle_sha256=bundle_sha256)
        session.add(row)
    elif (row.person, row.reason, row.gates) == wanted:
        return row
    row.model = model
    row.person, row.reason, row.gates = wanted
    row.needs_approval = context.settings.require_approval
    row.asked_utc = context.clock()
    row.approved_by = row.approved_utc = None
    return row


async def approve(
    context: Context, session: AsyncSession, by: Caller, bundle_sha256: str, reason: str
) -> GateOverride:
    """Agree as somebody else to an override.

    Args:
        context: The server.
        session: The caller's transaction.
        by: Who approves.
        bundle_sha256: Which bundle.
        reason: What the approver has read.

    Raises:
        LamplighterError: NOT_FOUND, APPROVER_IS_CREATOR, or CONFLICT if it was asked for with
            another reason meanwhile.
    """
    row = await get(session, bundle_sha256, lock=True)
    check_approver(by.person, row.person)
    if reason != row.reason:
        raise LamplighterError("CONFLICT", f"Its reason is {row.reason!r} by now.")
    row.approved_by, row.approved_utc = by.person, context.clock()
    return row


async def get(session: AsyncSession, bundle_sha256: str, *, lock: bool = False) -> GateOverride:
    """One override.

    Raises:
        LamplighterError: NOT_FOUND.
    """
    row = await session.get(GateOverride, bundle_sha256, with_for_update=lock)
    if row is None:
        raise LamplighterError("NOT_FOUND", f"Nobody has asked to override {bundle_sha256}.")
    return row


async def ls(session: AsyncSession) -> Sequence[GateOverride]:
    """All overrides, the newest first."""
    return (
        await session.scalars(select(GateOverride).order_by(GateOverride.asked_utc.desc()))
    ).all()


async def check(
    context: Context, session: AsyncSession, bundle_sha256: str, evidence: dict[str, Any]
) -> None:
    """Refuse a release whose gates have not passed and that nobody has decided to publish.

    Raises:
        LamplighterError: GATE_FAILED, APPROVAL_MISSING or MESSAGE_MALFORMED.
    """
    row = await session.get(GateOverride, bundle_sha256)
    check_published(read_judged(evidence), decision(context, row) if row else None)


def decision(context: Context, row: GateOverride) -> Decision:
    """An override as it counts now: four eyes may have been demanded since it was asked for."""
    return Decision(
        gates=frozenset(row.gates),
        override=Override(person=row.person, reason=row.reason, approved_by=row.approved_by),
        needs_approval=row.needs_approval or context.settings.require_approval,
    )
