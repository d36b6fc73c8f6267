"""The tick: one bounded, idempotent step of every open rollout, each in one transaction."""

import logging

from sqlalchemy.ext.asyncio import AsyncSession

from lamplighter_protocol.errors import LamplighterError
from lamplighter_server.assignments import service as assignments
from lamplighter_server.confidential import service as confidential
from lamplighter_server.context import Context
from lamplighter_server.devices import service as devices
from lamplighter_server.releases import service as releases
from lamplighter_server.rollouts import repository
from lamplighter_server.rollouts.gates import Place, Target
from lamplighter_server.rollouts.models import RolloutDevice
from lamplighter_server.rollouts.plan import Snapshot, step
from lamplighter_server.rollouts.policy import read_policy
from lamplighter_server.rollouts.states import AT_WORK
from lamplighter_server.rollouts.work import Work, generation_of

_log = logging.getLogger(__name__)


async def tick(context: Context) -> None:
    """Step every rollout that is running or aborting.

    It may be killed anywhere: a step is stored whole or not at all. A rollout that cannot be
    judged keeps its state, says why, and does not hold up the others.
    """
    async with context.database.reading() as session:
        rollouts = await repository.ids_at_work(session)
    for rollout in rollouts:
        await _try_step(context, rollout)


async def _try_step(context: Context, rollout: str) -> None:
    try:
        async with context.database.transaction() as session:
            await _step(context, session, rollout)
    except LamplighterError as error:
        _log.error("rollout %s cannot be judged: %s", rollout, error)
        async with context.database.transaction() as session:
            row = await repository.find(session, rollout, lock=True)
            if row is not None:
                row.reason = f"cannot be judged: {error.code}: {error.sentence}"


async def _step(context: Context, session: AsyncSession, rollout: str) -> None:
    row = await repository.find(session, rollout, lock=True)
    if row is None or row.status not in AT_WORK:
        return
    release = await releases.get(session, row.model, row.release)
    policy = read_policy(row.policy)
    work = Work(
        context=context,
        session=session,
        rollout=row,
        places={place.device: place for place in await repository.find_devices(session, rollout)},
        policy=policy,
        manifest=await releases.load_manifest(context, session, row.model, row.release),
        manifest_sha256=release.manifest_sha256,
        sealed=await confidential.is_protected(session, row.model),
        devices={device.id: device for device in await devices.ls(session)},
        wanted={
            item.device: item
            for item in await assignments.wanted(session)
            if (item.model, item.mode) == (row.model, policy.mode)
        },
        now_utc=context.clock(),
    )
    await work.apply(step(_snapshot(work)))


def _snapshot(work: Work) -> Snapshot:
    row = work.rollout
    reports = {device: devices.read_report(work.devices[device]) for device in work.places}
    return Snapshot(
        status=row.status,
        wave=row.wave,
        reason=row.reason,
        policy=work.policy,
        target=Target(
            model=row.model,
            release=row.release,
            manifest_sha256=work.manifest_sha256,
            mode=work.policy.mode,
            max_disagreed_share=work.policy.max_disagreed_share,
        ),
        places=tuple(_place(place, work) for place in work.places.values()),
        reports={device: report for device, report in reports.items() if report is not None},
        now_utc=work.now_utc,
    )


def _place(row: RolloutDevice, work: Work) -> Place:
    wanted = work.wanted.get(row.device)
    return Place(
        device=row.device,
        wave=row.wave,
        state=row.state,
        reason=row.reason,
        assigned=generation_of(row),
        deadline_utc=row.deadline_utc,
        wanted=wanted is not None and wanted.release == work.rollout.release,
    )
