"""Which devices a rollout takes, and in which wave."""

from sqlalchemy.ext.asyncio import AsyncSession

from lamplighter_protocol.assignment import Mode
from lamplighter_protocol.bundle import Manifest
from lamplighter_protocol.errors import LamplighterError
from lamplighter_protocol.trust import ModelPolicy
from lamplighter_server.assignments import service as assignments
from lamplighter_server.confidential import service as confidential
from lamplighter_server.context import Context
from lamplighter_server.devices import service as devices
from lamplighter_server.devices.models import Device
from lamplighter_server.releases import service as releases
from lamplighter_server.rollouts import repository
from lamplighter_server.rollouts.models import Rollout, RolloutDevice
from lamplighter_server.rollouts.policy import Policy, assign_waves
from lamplighter_server.rollouts.states import DeviceState
from lamplighter_server.trust import service as trust


async def take_devices(
    context: Context, session: AsyncSession, rollout: Rollout, policy: Policy
) -> list[RolloutDevice]:
    """The places of a rollout that is planned anew; nothing is stored.

    Raises:
        LamplighterError: NOT_FOUND if there is no such release; RELEASE_BELOW_MINIMUM if offline
            keys forbid it; ROLLOUT_INVALID if no selected device can run it; CONFLICT if another
            open rollout of this model holds one of them.
    """
    model, release = rollout.model, rollout.release
    manifest = await releases.load_manifest(context, session, model, release)
    signed = await trust.load_policy(session, model)
    if release < signed.minimum_release:
        raise LamplighterError(
            "RELEASE_BELOW_MINIMUM",
            f"{model} release {release} is below {signed.minimum_release}, the signed minimum.",
        )
    selected = [
        device
        for device in await devices.ls(session)
        if policy.where.items() <= device.labels.items() and device.revoked_utc is None
    ]
    answers = {
        item.device
        for item in await assignments.wanted(session)
        if (item.model, item.mode) == (model, "active")
    }
    sealed = await confidential.is_protected(session, model)
    unable = {
        device.id: why
        for device in selected
        if (why := _obstacle(manifest, signed, device, policy.mode, sealed=sealed))
    }
    if policy.mode == "shadow":
        for device in selected:
            if device.id not in answers:
                unable[device.id] = f"SHADOW_ALONE: No release of {model} is to answer there."
    able = {device.id: device.labels for device in selected if device.id not in unable}
    if not able:
        raise LamplighterError(
            "ROLLOUT_INVALID",
            f"None of the {len(selected)} selected devices can run {model} release {release}.",
        )
    holder = await repository.find_holder(session, model, able, besides=rollout.id)
    if holder is not None:
        raise LamplighterError(
            "CONFLICT", f"Rollout {holder[0]} of {model} is open and holds {holder[1]}."
        )
    waves = assign_waves(policy, able, seed=rollout.id)
    last = len(policy.waves) - 1
    return [
        *(_place(rollout, device, wave, "waiting", "") for device, wave in waves.items()),
        *(_place(rollout, device, last, "skipped", reason) for device, reason in unable.items()),
    ]


def _obstacle(
    manifest: Manifest, signed: ModelPolicy, device: Device, mode: Mode, *, sealed: bool
) -> str:
    """Why a device cannot run a release; empty if it can."""
    inventory = devices.read_inventory(device)
    if signed.machines and inventory.machine not in signed.machines:
        return f"HARDWARE_FORBIDDEN: {inventory.machine} is none of {', '.join(signed.machines)}."
    if mode not in inventory.modes:
        return f"CAPABILITY_MISSING: Its agent has no mode {mode}."
    try:
        assignments.choose_variant(manifest, inventory)
        if sealed:
            confidential.check_receiver(device.id, device.agreement_public, inventory)
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
