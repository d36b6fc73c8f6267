"""Queries of the rollouts slice."""

from collections.abc import Collection, Sequence

from sqlalchemy import delete, select
from sqlalchemy.ext.asyncio import AsyncSession

from lamplighter_server.rollouts.models import Rollout, RolloutDevice
from lamplighter_server.rollouts.states import AT_WORK, OPEN


async def find(session: AsyncSession, rollout: str, *, lock: bool = False) -> Rollout | None:
    """The rollout; locked until the transaction ends by those who change it."""
    return await session.get(Rollout, rollout, with_for_update=lock or None)


async def find_all(session: AsyncSession) -> Sequence[Rollout]:
    """All rollouts, the newest first."""
    query = select(Rollout).order_by(Rollout.created_utc.desc(), Rollout.id)
    return (await session.scalars(query)).all()


async def ids_at_work(session: AsyncSession) -> Sequence[str]:
    """The rollouts that a tick has to step, the oldest first."""
    query = select(Rollout.id).where(Rollout.status.in_(AT_WORK))
    return (await session.scalars(query.order_by(Rollout.created_utc, Rollout.id))).all()


async def ids_aborted(session: AsyncSession, model: str) -> Sequence[str]:
    """The rollouts of a model that were aborted."""
    query = select(Rollout.id).where(Rollout.model == model, Rollout.status == "aborted")
    return (await session.scalars(query)).all()


async def find_devices(session: AsyncSession, rollout: str) -> Sequence[RolloutDevice]:
    """The devices of a rollout by wave and id."""
    query = select(RolloutDevice).where(RolloutDevice.rollout == rollout)
    return (await session.scalars(query.order_by(RolloutDevice.wave, RolloutDevice.device))).all()


async def delete_devices(session: AsyncSession, rollout: str) -> None:
    """Take all devices out of a rollout that is planned anew."""
    await session.execute(delete(RolloutDevice).where(RolloutDevice.rollout == rollout))


async def find_holder(
    session: AsyncSession, model: str, devices: Collection[str], *, besides: str
) -> tuple[str, str] | None:
    """(rollout, device) of an open rollout of the model, besides one, that holds a device."""
    query = (
        select(RolloutDevice.rollout, RolloutDevice.device)
        .join(Rollout, Rollout.id == RolloutDevice.rollout)
        .where(
            Rollout.model == model,
            Rollout.id != besides,
            Rollout.status.in_(OPEN),
            RolloutDevice.state != "skipped",
        )
        .order_by(RolloutDevice.device)
    )
    for rollout, device in await session.execute(query):
        if device in devices:
            return rollout, device
    return None
