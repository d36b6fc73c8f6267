"""The director: composes, signs and sends what each device shall run."""

from collections.abc import Collection, Iterable, Sequence
from datetime import datetime, timedelta
from functools import lru_cache
from typing import Final

import msgspec
from sqlalchemy import delete, or_, select
from sqlalchemy.ext.asyncio import AsyncSession

from lamplighter_protocol.assignment import (
    AssignedModel,
    Assignment,
    Generation,
    Mode,
    Transfer,
    sign_assignment,
)
from lamplighter_protocol.blobs import BlobRef, describe
from lamplighter_protocol.bundle import Manifest, Variant
from lamplighter_protocol.canonical import sha256
from lamplighter_protocol.errors import LamplighterError
from lamplighter_protocol.reported import Inventory, Reported
from lamplighter_server.assignments.models import (
    AssignmentRow,
    Wanted,
    WantedModel,
    WantedShadow,
)
from lamplighter_server.blobs.objects import ObjectStore
from lamplighter_server.confidential import service as confidential
from lamplighter_server.context import Context
from lamplighter_server.devices import service as devices
from lamplighter_server.devices.models import Device
from lamplighter_server.outbox import service as outbox
from lamplighter_server.patches import service as patches
from lamplighter_server.releases import service as releases
from lamplighter_server.trust import service as trust

_SMALLEST: Final = "-int8"
_TABLES: Final[dict[Mode, type[WantedModel] | type[WantedShadow]]] = {
    "active": WantedModel,
    "shadow": WantedShadow,
}
_Patched = dict[tuple[tuple[str, int, str], patches.Running | None], tuple[Transfer, ...]]


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
    mode: Mode = "active",
) -> None:
    """Note what a device shall run of one model; `issue` tells it.

    A newly wanted active release ends what ran in its shadow, or goes on from there.
    """
    if mode == "active":
        await withdraw(session, device, model, mode="shadow")
    await session.merge(
        _TABLES[mode](
            device=device,
            model=model,
            release=release,
            variant=variant,
            rollout=rollout,
            deadline_utc=deadline_utc,
            allow_downgrade=allow_downgrade,
        )
    )


async def withdraw(
    session: AsyncSession, device: str, model: str, *, mode: Mode | None = None
) -> None:
    """Note that a device shall no longer have a model, or not in one mode; `issue` tells it."""
    for table in _TABLES.values():
        if mode in (None, table.mode):
            await session.execute(delete(table).where(table.device == device, table.model == model))


async def issue(
    context: Context, session: AsyncSession, device_ids: Iterable[str], now_utc: datetime
) -> dict[str, Generation]:
    """Sign and queue a new assignment for each device, listing every model it shall have.

    The counter is above every generation that was issued and that the device has reported, so a
    server that was restored from a backup is not taken for a replay.

    Returns:
        The generation by device.

    Raises:
        LamplighterError: DEVICE_UNKNOWN, NOT_FOUND, TRUST_MISSING, or TRUST_REFUSED if the server
            lacks the key that offline keys have named.
    """
    ids = list(device_ids)
    director = await trust.load_director(context, session)
    known = await devices.get_all(session, ids)
    former = {
        row.device: row
        for row in await session.scalars(select(AssignmentRow).where(AssignmentRow.device.in_(ids)))
    }
    shall: dict[str, list[AssignedModel]] = {device: [] for device in ids}
    found: dict[tuple[str, int], tuple[BlobRef, confidential.Offer | None]] = {}
    patched: _Patched = {}
    for item in await wanted(session, ids):
        release = (item.model, item.release)
        if release not in found:
            found[release] = (
                await _find_manifest(context, session, *release),
                await confidential.offer(context, session, *release),
            )
        manifest, offer = found[release]
        assigned = _compose(item, manifest, now_utc)
        if offer is not None:
            assigned = _seal(assigned, offer, context.settings.fleet, known[item.device])
        else:
            assigned = await _patch(context, session, assigned, known[item.device], patched)
        shall[item.device].append(assigned)
    issued = {}
    for device in ids:
        counter = _next_counter(former.get(device), known[device], director.epoch)
        generation = Generation(director.epoch, counter)
        assignment = Assignment(
            device=device,
            fleet=context.settings.fleet,
            generation=generation,
            issued_utc=now_utc,
            expires_utc=now_utc + timedelta(seconds=context.settings.assignment_lifetime_s),
            window_s=context.settings.window_s,
            models=tuple(shall[device]),
        )
        envelope = sign_assignment(assignment, director.signer)
        await session.merge(
            AssignmentRow(
                device=device,
                epoch=director.epoch,
                counter=counter,
                sha256=sha256(envelope),
                envelope=envelope,
                issued_utc=now_utc,
            )
        )
        if known[device].revoked_utc is None:
            outbox.send(session, context.topics.device(device, "desired"), envelope, retain=True)
        issued[device] = generation
    return issued


async def find_due(
    session: AsyncSession, *, epoch: int, issued_before_utc: datetime, limit: int
) -> Sequence[str]:
    """Devices whose assignment is of a former epoch, or older than a moment; the oldest first."""
    is_due = or_(AssignmentRow.epoch != epoch, AssignmentRow.issued_utc < issued_before_utc)
    admitted = select(AssignmentRow.device).join(Device).where(Device.revoked_utc.is_(None))
    query = admitted.where(is_due).order_by(AssignmentRow.issued_utc)
    return (await session.scalars(query.limit(limit))).all()


async def answer(context: Context, session: AsyncSession, device: str, report: Reported) -> None:
    """Issue anew if a device holds what this server does not know: it was restored from a backup.

    Raises:
        LamplighterError: As `issue`.
    """
    row = await newest(session, device)
    if row is None or report.generation is None:
        return
    reported, known = report.generation, Generation(row.epoch, row.counter)
    if reported > known or (reported == known and report.assignment_sha256 != row.sha256):
        await issue(context, session, [device], context.clock())


async def welcome(context: Context, session: AsyncSession, device: str) -> None:
    """Issue to a board that has enrolled anew what was wanted of that name.

    Deadlines begin again, and keys of confidential releases are wrapped for its new key.

    Raises:
        LamplighterError: As `issue`.
    """
    if await newest(session, device) is None:
        return
    now_utc = context.clock()
    deadline_utc = now_utc + timedelta(seconds=context.settings.assignment_lifetime_s)
    for item in await wanted(session, [device]):
        item.deadline_utc = deadline_utc
    await issue(context, session, [device], now_utc)


async def wanted(
    session: AsyncSession, device_ids: Collection[str] | None = None
) -> Sequence[Wanted]:
    """What some devices, or every device, shall have; what answers before what is in shadow."""
    found: list[Wanted] = []
    for table in _TABLES.values():
        query = select(table).order_by(table.device, table.model)
        if device_ids is not None:
            query = query.where(table.device.in_(device_ids))
        found += await session.scalars(query)
    return found


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


def _next_counter(former: AssignmentRow | None, device: Device, epoch: int) -> int:
    report = devices.read_report(device)
    known = [
        former.counter if former is not None and former.epoch == epoch else 0,
        report.generation.counter
        if report is not None and report.generation is not None and report.generation.epoch == epoch
        else 0,
    ]
    return max(known) + 1


def _compose(item: Wanted, manifest: BlobRef, now_utc: datetime) -> AssignedModel:
    return AssignedModel(
        model=item.model,
        release=item.release,
        manifest=manifest,
        variant=item.variant,
        mode=item.mode,
        rollout=item.rollout,
        not_before_utc=now_utc,
        deadline_utc=item.deadline_utc,
        allow_downgrade=item.allow_downgrade,
    )


def _seal(
    assigned: AssignedModel, offer: confidential.Offer, fleet: str, device: Device
) -> AssignedModel:
    wrapped = confidential.wrap(
        offer,
        fleet=fleet,
        device=device.id,
        public=device.agreement_public,
        model=assigned.model,
        release=assigned.release,
    )
    return msgspec.structs.replace(assigned, transfers=offer.transfers, wrapped_key=wrapped)


async def _patch(
    context: Context,
    session: AsyncSession,
    assigned: AssignedModel,
    device: Device,
    known: _Patched,
) -> AssignedModel:
    """Offer patches against what the device runs; many devices run the same."""
    former = patches.running(devices.read_report(device), assigned.model)
    wanted = (assigned.model, assigned.release, assigned.variant)
    if (wanted, former) not in known:
        model, release, variant = wanted
        known[wanted, former] = await patches.find(
            context, session, model=model, release=release, variant=variant, former=former
        )
    offers = patches.suitable(known[wanted, former], devices.read_inventory(device))
    return msgspec.structs.replace(assigned, transfers=offers)


async def _find_manifest(
    context: Context, session: AsyncSession, model: str, number: int
) -> BlobRef:
    release = await releases.get(session, model, number)
    return _describe_stored(context.objects, release.manifest_sha256)


@lru_cache(maxsize=256)
def _describe_stored(objects: ObjectStore, digest: str) -> BlobRef:
    """Content-addressed, so it never changes; a wave names one manifest for every device."""
    return describe(objects.read(digest))
