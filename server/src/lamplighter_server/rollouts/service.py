"""Planning, approving, starting and aborting rollouts. The controller's tick does the rest."""

import secrets
from collections.abc import Sequence

import msgspec
from sqlalchemy.ext.asyncio import AsyncSession

from lamplighter_protocol.errors import LamplighterError
from lamplighter_server.context import Context
from lamplighter_server.devices import service as devices
from lamplighter_server.devices.models import Device
from lamplighter_server.people.access import FLEET, Caller, Scope, covers
from lamplighter_server.rollouts import repository
from lamplighter_server.rollouts.approval import check_approver, check_start
from lamplighter_server.rollouts.models import Rollout, RolloutDevice
from lamplighter_server.rollouts.planning import take_devices
from lamplighter_server.rollouts.policy import Policy
from lamplighter_server.rollouts.states import follow


async def create(
    context: Context,
    session: AsyncSession,
    by: Caller,
    *,
    model: str,
    release: int,
    policy: Policy,
) -> Rollout:
    """Plan a rollout; nothing is assigned before it is started and a tick has opened a wave.

    Raises:
        LamplighterError: SCOPE_MISSING if it reaches beyond the caller's labels; NOT_FOUND if
            there is no such release; ROLLOUT_INVALID if no selected device can run it; CONFLICT
            if an open rollout of this model holds one of the devices.
    """
    by.check_touches(policy.where)
    row = Rollout(
        id=f"{model}-{release}-{secrets.token_hex(3)}",
        model=model,
        release=release,
        status="draft",
        wave=0,
        policy=msgspec.to_builtins(policy),
        authors=[by.person],
        revision=1,
        needs_approval=context.settings.require_approval,
        approved_by=None,
        approved_utc=None,
        created_utc=context.clock(),
        started_utc=None,
        wave_started_utc=None,
        finished_utc=None,
        reason="",
    )
    places = await take_devices(context, session, row, policy)
    session.add(row)
    await session.flush()
    session.add_all(places)
    return row


async def revise(
    context: Context, session: AsyncSession, by: Caller, rollout: str, policy: Policy
) -> Rollout:
    """Plan a rollout anew that has not started. An approval is void; the caller is an author.

    Raises:
        LamplighterError: As `create`, and STATE_FORBIDS once it has started.
    """
    row = await find(session, rollout, by, lock=True)
    by.check_touches(policy.where)
    row.status = follow(row.status, "revise")
    row.policy = msgspec.to_builtins(policy)
    row.authors = sorted({*row.authors, by.person})
    row.revision += 1
    row.approved_by = row.approved_utc = None
    places = await take_devices(context, session, row, policy)
    await repository.delete_devices(session, rollout)
    session.add_all(places)
    return row


async def approve(
    context: Context, session: AsyncSession, by: Caller, rollout: str, revision: int
) -> Rollout:
    """Say as somebody else than its authors that a planned rollout may start.

    Args:
        context: The server.
        session: The caller's transaction.
        by: Who approves.
        rollout: The rollout.
        revision: The plan that the approver has looked at.

    Raises:
        LamplighterError: NOT_FOUND, APPROVER_IS_CREATOR, STATE_FORBIDS, or CONFLICT if it was
            planned anew meanwhile.
    """
    row = await find(session, rollout, by, lock=True)
    check_approver(row.id, row.authors, by.person)
    if revision != row.revision:
        raise LamplighterError(
            "CONFLICT", f"{rollout} was changed meanwhile: this is revision {row.revision}."
        )
    row.status = follow(row.status, "approve")
    row.approved_by, row.approved_utc = by.person, context.clock()
    return row


async def start(context: Context, session: AsyncSession, by: Caller, rollout: str) -> Rollout:
    """Let a planned rollout begin, or a paused one go on.

    An approval is needed if it was when the rollout was planned, or if it is now.

    Raises:
        LamplighterError: NOT_FOUND, APPROVAL_MISSING or STATE_FORBIDS.
    """
    row = await find(session, rollout, by, lock=True)
    needs_approval = row.needs_approval or context.settings.require_approval
    check_start(row.id, row.status, row.authors, needs_approval=needs_approval)
    row.status = follow(row.status, "start")
    row.started_utc = row.started_utc or context.clock()
    return row


async def abort(session: AsyncSession, by: Caller, rollout: str, reason: str) -> Rollout:
    """Stop for good; the next tick gives every device that was assigned its old release back.

    Raises:
        LamplighterError: NOT_FOUND or STATE_FORBIDS.
    """
    row = await find(session, rollout, by, lock=True)
    row.status = follow(row.status, "stop")
    row.reason = reason
    return row


async def find(session: AsyncSession, rollout: str, by: Caller, *, lock: bool = False) -> Rollout:
    """One rollout that the caller may see; `lock` holds it until the transaction ends.

    Raises:
        LamplighterError: NOT_FOUND, also outside the caller's scope.
    """
    row = await repository.find(session, rollout, lock=lock)
    if row is None or not covers(by.scope, row.policy.get("where", {})):
        raise LamplighterError("NOT_FOUND", f"There is no rollout {rollout!r}.")
    return row


async def ls(session: AsyncSession, scope: Scope = FLEET) -> Sequence[Rollout]:
    """All rollouts that lie inside the scope, the newest first."""
    rows = await repository.find_all(session)
    return [row for row in rows if covers(scope, row.policy.get("where", {}))]


async def places(session: AsyncSession, rollout: str) -> Sequence[tuple[RolloutDevice, Device]]:
    """The devices of a rollout by wave and id, each with what it reported."""
    known = {device.id: device for device in await devices.ls(session)}
    return [(row, known[row.device]) for row in await repository.find_devices(session, rollout)]
