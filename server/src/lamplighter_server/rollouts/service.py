"""Creating, starting and aborting rollouts. The controller's tick does the rest."""

import secrets
from collections.abc import Sequence

import msgspec
from sqlalchemy.ext.asyncio import AsyncSession

from lamplighter_protocol.bundle import Manifest
from lamplighter_protocol.errors import LamplighterError
from lamplighter_server.assignments import service as assignments
from lamplighter_server.context import Context
from lamplighter_server.devices import service as devices
from lamplighter_server.devices.models import Device
from lamplighter_server.releases import service as releases
from lamplighter_server.rollouts import repository
from lamplighter_server.rollouts.models import Rollout, RolloutDevice
from lamplighter_server.rollouts.policy import Policy, assign_waves
from lamplighter_server.rollouts.states import DeviceState, Event, follow


async def create(
    context: Context, session: AsyncSession, *, model: str, release: int, policy: Policy
) -> Rollout:
    """Plan a rollout; nothing is assigned before it is started and a tick has opened a wave.

    Raises:
        LamplighterError: NOT_FOUND if there is no such release; ROLLOUT_INVALID if no selected
            device can run it; CONFLICT if an open rollout of this model holds one of the devices.
    """
    manifest = await releases.load_manifest(context, session, model, release)
    selected = [
        device
        for device in await devices.ls(session)
        if policy.where.items() <= device.labels.items() and device.revoked_utc is None
    ]
    unable = {device.id: why for device in selected if (why := _obstacle(manifest, device))}
    able = {device.id: device.labels for device in selected if device.id not in unable}
    if not able:
        raise LamplighterError(
            "ROLLOUT_INVALID",
            f"None of the {len(selected)} selected devices can run {model} release {release}.",
        )
    if holder := await repository.find_holder(session, model, able):
        raise LamplighterError(
            "CONFLICT", f"Rollout {holder[0]} of {model} is open and holds {holder[1]}."
        )
    rollout = Rollout(
        id=f"{model}-{release}-{secrets.token_hex(3)}",
        model=model,
        release=release,
        status="draft",
        wave=0,
        policy=msgspec.to_builtins(policy),
        created_utc=context.clock(),
        started_utc=None,
        wave_started_utc=None,
        finished_utc=None,
        reason="",
    )
    session.add(rollout)
    await session.flush()
    waves = assign_waves(policy, able, seed=rollout.id)
    session.add_all(_place(rollout, device, wave, "waiting", "") for device, wave in waves.items())
    session.add_all(
        _place(rollout, device, len(policy.waves) - 1, "skipped", reason)
        for device, reason in unable.items()
    )
    return rollout


def _obstacle(manifest: Manifest, device: Device) -> str:
    """Why a device cannot run a release; empty if it can."""
    try:
        assignments.choose_variant(manifest, devices.read_inventory(device))
    except LamplighterError as error:
        return f"{error.code}: {error.sentence}"
    return ""


def _place(
    rollout: Rollout, device: str, wave: int, state: DeviceState, reason: str
) -> RolloutDevice:
    return RolloutDevice(
        rollout=rollout.id,
        device=device,
        wave=wave,
        state=state,
        previous_release=None,
        previous_variant=None,
        assigned_epoch=None,
        assigned_counter=None,
        deadline_utc=None,
        settled_utc=None,
        reason=reason,
    )


async def start(context: Context, session: AsyncSession, rollout: str) -> Rollout:
    """Let a draft begin, or a paused rollout go on.

    Raises:
        LamplighterError: NOT_FOUND or STATE_FORBIDS.
    """
    row = await _follow(session, rollout, "start")
    row.started_utc = row.started_utc or context.clock()
    return row


async def abort(session: AsyncSession, rollout: str, reason: str) -> Rollout:
    """Stop for good; the next tick gives every device that was assigned its old release back.

    Raises:
        LamplighterError: NOT_FOUND or STATE_FORBIDS.
    """
    row = await _follow(session, rollout, "stop")
    row.reason = reason
    return row


async def _follow(session: AsyncSession, rollout: str, event: Event) -> Rollout:
    row = await get(session, rollout, lock=True)
    row.status = follow(row.status, event)
    return row


async def get(session: AsyncSession, rollout: str, *, lock: bool = False) -> Rollout:
    """One rollout; `lock` holds it until the transaction ends.

    Raises:
        LamplighterError: NOT_FOUND.
    """
    row = await repository.find(session, rollout, lock=lock)
    if row is None:
        raise LamplighterError("NOT_FOUND", f"There is no rollout {rollout!r}.")
    return row


async def ls(session: AsyncSession) -> Sequence[Rollout]:
    """All rollouts, the newest first."""
    return await repository.find_all(session)


async def places(session: AsyncSession, rollout: str) -> Sequence[tuple[RolloutDevice, Device]]:
    """The devices of a rollout by wave and id, each with what it reported."""
    known = {device.id: device for device in await devices.ls(session)}
    return [(row, known[row.device]) for row in await repository.find_devices(session, rollout)]
