"""The director: composes, signs and sends what each device shall run."""

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from typing import Final

from sqlalchemy import delete, select
from sqlalchemy.ext.asyncio import AsyncSession

from lamplighter_protocol.assignment import AssignedModel, Assignment, Generation, sign_assignment
from lamplighter_protocol.blobs import describe
from lamplighter_protocol.bundle import Manifest, Variant
from lamplighter_protocol.canonical import sha256
from lamplighter_protocol.errors import LamplighterError
from lamplighter_protocol.reported import Inventory
from lamplighter_server.assignments.models import AssignmentRow, WantedModel
from lamplighter_server.context import Context
from lamplighter_server.devices import service as devices
from lamplighter_server.devices.models import Device
from lamplighter_server.outbox import service as outbox
from lamplighter_server.releases import service as releases
from lamplighter_server.trust import service as trust

_SMALLEST: Final = "-int8"


async def want(
    session: AsyncSession,
    *,
    device: str,
    model: str,
    release: int,
    variant: str,
    rollout: str | None,
    deadline_utc: datetime,
    allow_downgrade: bool = False,
) -> None:
    """Note what a device shall run of one model; `issue` tells it."""
    await session.merge(
        WantedModel(
            device=device,
            model=model,
            release=release,
            variant=variant,
            rollout=rollout,
            deadline_utc=deadline_utc,
            allow_downgrade=allow_downgrade,
        )
    )


async def withdraw(session: AsyncSession, device: str, model: str) -> None:
    """Note that a device shall no longer have a model; `issue` tells it."""
    await session.execute(
        delete(WantedModel).where(WantedModel.device == device, WantedModel.model == model)
    )


async def issue(
    context: Context, session: AsyncSession, device_ids: Iterable[str], now_utc: datetime
) -> dict[str, Generation]:
    """Sign and queue a new assignment for each device, listing every model it shall have.

    The counter is above every generation that was issued and that the device has reported, so a
    server that was restored from a backup is not taken for a replay.

    Returns:
        The generation by device.

    Raises:
        LamplighterError: DEVICE_UNKNOWN, NOT_FOUND or TRUST_MISSING.
    """
    epoch = await trust.load_epoch(session)
    issued = {}
    for device in device_ids:
        generation = Generation(epoch, await _next_counter(session, device, epoch))
        assignment = Assignment(
            device=device,
            fleet=context.settings.fleet,
            generation=generation,
            issued_utc=now_utc,
            expires_utc=now_utc + timedelta(seconds=context.settings.assignment_lifetime_s),
            window_s=context.settings.window_s,
            models=tuple(
                [
                    await _compose(context, session, item, now_utc)
                    for item in await wanted(session, device)
                ]
            ),
        )
        envelope = sign_assignment(assignment, context.keys.director)
        await session.merge(
            AssignmentRow(
                device=device,
                epoch=epoch,
                counter=generation.counter,
                sha256=sha256(envelope),
                envelope=envelope,
                issued_utc=now_utc,
            )
        )
        if (await devices.get(session, device)).revoked_utc is None:
            outbox.send(session, context.topics.device(device, "desired"), envelope, retain=True)
        issued[device] = generation
    return issued


async def wanted(session: AsyncSession, device: str | None = None) -> Sequence[WantedModel]:
    """What one device, or every device, shall have."""
    query = select(WantedModel).order_by(WantedModel.device, WantedModel.model)
    if device is not None:
        query = query.where(WantedModel.device == device)
    return (await session.scalars(query)).all()


async def newest(session: AsyncSession, device: str) -> AssignmentRow | None:
    """The newest envelope of one device."""
    return await session.get(AssignmentRow, device)


async def current(session: AsyncSession) -> Sequence[AssignmentRow]:
    """The newest envelope of every device that is let in."""
    query = select(AssignmentRow).join(Device).where(Device.revoked_utc.is_(None))
    return (await session.scalars(query.order_by(AssignmentRow.device))).all()


def choose_variant(manifest: Manifest, inventory: Inventory) -> str:
    """The variant for a board: one whose runtime and processor it has, int8 before others.

    Raises:
        LamplighterError: VARIANT_UNSUPPORTED.
    """
    fitting = [variant for variant in manifest.variants if _fits(variant, inventory)]
    if not fitting:
        raise LamplighterError(
            "VARIANT_UNSUPPORTED",
            f"{manifest.model} release {manifest.release} has no variant for {inventory.machine} "
            f"with {sorted(inventory.runtimes) or 'no runtime'}.",
        )
    return min(fitting, key=lambda variant: not variant.name.endswith(_SMALLEST)).name


def _fits(variant: Variant, inventory: Inventory) -> bool:
    return variant.runtime in inventory.runtimes and (
        not variant.machines or inventory.machine in variant.machines
    )


async def _next_counter(session: AsyncSession, device: str, epoch: int) -> int:
    row = await session.get(AssignmentRow, device)
    report = devices.read_report(await devices.get(session, device))
    known = [
        row.counter if row is not None and row.epoch == epoch else 0,
        report.generation.counter
        if report is not None and report.generation is not None and report.generation.epoch == epoch
        else 0,
    ]
    return max(known) + 1


async def _compose(
    context: Context, session: AsyncSession, item: WantedModel, now_utc: datetime
) -> AssignedModel:
    release = await releases.get(session, item.model, item.release)
    return AssignedModel(
        model=item.model,
        release=item.release,
        manifest=describe(context.objects.read(release.manifest_sha256)),
        variant=item.variant,
        rollout=item.rollout,
        not_before_utc=now_utc,
        deadline_utc=item.deadline_utc,
        allow_downgrade=item.allow_downgrade,
    )
