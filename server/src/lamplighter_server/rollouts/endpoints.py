"""HTTP of the rollouts slice."""

from typing import Any

from fastapi import APIRouter
from pydantic import BaseModel

from lamplighter_server.edge import CallerDep, ContextDep, SessionDep
from lamplighter_server.people.access import Role, requires
from lamplighter_server.rollouts import service
from lamplighter_server.rollouts.policy import read_policy
from lamplighter_server.rollouts.views import RolloutDetailView, RolloutView, detail, summary

router = APIRouter(prefix="/api/v1/rollouts", tags=["rollouts"])


class NewRollout(BaseModel):
    """What to bring where, and how carefully."""

    model: str
    release: int
    policy: dict[str, Any] = {}
    """See lamplighter_server.rollouts.policy.Policy; everything has a default."""


class Approval(BaseModel):
    """What was looked at."""

    revision: int


class Abortion(BaseModel):
    """Why a person stops a rollout."""

    reason: str = "a person stopped it"


@router.post("", status_code=201)
@requires(Role.OPERATOR, narrows=True)
async def post_rollout(
    body: NewRollout, caller: CallerDep, context: ContextDep, session: SessionDep
) -> RolloutDetailView:
    """Plan a rollout; it assigns nothing before it is started."""
    policy = read_policy(body.policy)
    row = await service.create(
        context, session, caller, model=body.model, release=body.release, policy=policy
    )
    return detail(row, await service.places(session, row.id))


@router.get("")
@requires(Role.VIEWER, narrows=True)
async def get_rollouts(caller: CallerDep, session: SessionDep) -> list[RolloutView]:
    """All rollouts, the newest first."""
    return [summary(row) for row in await service.ls(session, caller.scope)]


@router.get("/{rollout}")
@requires(Role.VIEWER, narrows=True)
async def get_rollout(rollout: str, caller: CallerDep, session: SessionDep) -> RolloutDetailView:
    """One rollout with its waves, devices and history."""
    row = await service.find(session, rollout, caller)
    return detail(row, await service.places(session, rollout))


@router.put("/{rollout}/policy")
@requires(Role.OPERATOR, narrows=True)
async def put_policy(
    rollout: str,
    body: dict[str, Any],
    caller: CallerDep,
    context: ContextDep,
    session: SessionDep,
) -> RolloutDetailView:
    """Plan a rollout anew that has not started; an approval is void."""
    row = await service.revise(context, session, caller, rollout, read_policy(body))
    return detail(row, await service.places(session, rollout))


@router.post("/{rollout}/approve")
@requires(Role.APPROVER, narrows=True)
async def post_approve(
    rollout: str, body: Approval, caller: CallerDep, context: ContextDep, session: SessionDep
) -> RolloutView:
    """Say as somebody else than its authors that a planned rollout may start."""
    return summary(await service.approve(context, session, caller, rollout, body.revision))


@router.post("/{rollout}/start")
@requires(Role.OPERATOR, narrows=True)
async def post_start(
    rollout: str, caller: CallerDep, context: ContextDep, session: SessionDep
) -> RolloutView:
    """Start a planned rollout, or go on after a pause."""
    return summary(await service.start(context, session, caller, rollout))


@router.post("/{rollout}/abort")
@requires(Role.OPERATOR, narrows=True)
async def post_abort(
    rollout: str, caller: CallerDep, session: SessionDep, body: Abortion | None = None
) -> RolloutView:
    """Stop for good and give the devices their previous release back."""
    reason = (body or Abortion()).reason
    return summary(await service.abort(session, caller, rollout, reason))
