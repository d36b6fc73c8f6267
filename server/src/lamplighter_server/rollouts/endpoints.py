"""HTTP of the rollouts slice."""

from typing import Any

from fastapi import APIRouter
from pydantic import BaseModel

from lamplighter_server.edge import ContextDep, SessionDep
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


class Abortion(BaseModel):
    """Why a person stops a rollout."""

    reason: str = "a person stopped it"


@router.post("", status_code=201)
async def post_rollout(
    body: NewRollout, context: ContextDep, session: SessionDep
) -> RolloutDetailView:
    """Plan a rollout; it assigns nothing before it is started."""
    policy = read_policy(body.policy)
    row = await service.create(
        context, session, model=body.model, release=body.release, policy=policy
    )
    return detail(row, await service.places(session, row.id))


@router.get("")
async def get_rollouts(session: SessionDep) -> list[RolloutView]:
    """All rollouts, the newest first."""
    return [summary(row) for row in await service.ls(session)]


@router.get("/{rollout}")
async def get_rollout(rollout: str, session: SessionDep) -> RolloutDetailView:
    """One rollout with its waves, devices and history."""
    row = await service.get(session, rollout)
    return detail(row, await service.places(session, rollout))


@router.post("/{rollout}/start")
async def post_start(rollout: str, context: ContextDep, session: SessionDep) -> RolloutView:
    """Start a draft, or go on after a pause."""
    return summary(await service.start(context, session, rollout))


@router.post("/{rollout}/abort")
async def post_abort(
    rollout: str, session: SessionDep, body: Abortion | None = None
) -> RolloutView:
    """Stop for good and give the devices their previous release back."""
    reason = (body or Abortion()).reason
    return summary(await service.abort(session, rollout, reason))
