"""Telemetry from devices: stored exactly once, acknowledged, merged on demand."""

import logging
from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, Final

import msgspec
from sqlalchemy.ext.asyncio import AsyncSession

from lamplighter_protocol.bundle import Manifest
from lamplighter_protocol.canonical import sha256
from lamplighter_protocol.counts import Counts
from lamplighter_protocol.errors import LamplighterError
from lamplighter_protocol.telemetry import (
    Ack,
    Event,
    Sealed,
    Stream,
    T,
    Vitals,
    Window,
    seal,
    unseal,
)
from lamplighter_server.context import Context
from lamplighter_server.devices import service as devices
from lamplighter_server.outbox import service as outbox
from lamplighter_server.releases import service as releases
from lamplighter_server.telemetry import repository
from lamplighter_server.telemetry.models import EventRow, VitalsRow, WindowRow
from lamplighter_server.telemetry.selection import Selection
from lamplighter_server.telemetry.sequences import advance

_SERVER_BOOT: Final = "server"
_log = logging.getLogger(__name__)


async def accept(
    context: Context,
    session: AsyncSession,
    *,
    device: str,
    stream: Stream,
    raw: bytes,
    telemetry_key: bytes,
    now_utc: datetime,
) -> None:
    """Store one message and queue its acknowledgement, in the caller's transaction.

    A message is stored once, however often and in whatever order it arrives. An authentic message
    that cannot be used (it fits no release that we know) is counted, logged and acknowledged: it
    would be the same the next time and would block the device's outbox.

    Raises:
        LamplighterError: MESSAGE_TOO_LARGE, MESSAGE_MALFORMED or MESSAGE_FORGED if the message
            does not prove its sender; nothing is acknowledged then.
    """
    sealed, body = unseal(raw, msgspec.Raw, key=telemetry_key, device=device, stream=stream)
    cursor, before = await repository.load_progress(session, device, stream, sha256(telemetry_key))
    after = advance(before, sealed.sequence, sealed.oldest)
    if not before.has(sealed.sequence):
        is_newest = sealed.sequence > before.highest
        try:
            if stream == "window":
                await _store_window(
                    context, session, device, sealed, _decode(body, Window), now_utc
                )
            elif stream == "event":
                _store_event(session, device, sealed, _decode(body, Event), now_utc)
            elif is_newest:
                await _store_vitals(session, device, _decode(body, Vitals), now_utc)
        except LamplighterError as error:
            context.figures.refused[error.code] += 1
            _log.warning("%s %s %d: %s", device, stream, sealed.sequence, error)
    await repository.save_progress(session, cursor, before, after)
    if after.contiguous >= 0:
        ack = seal(
            Ack(stored={stream: after.contiguous}),
            key=telemetry_key,
            device=device,
            stream="ack",
            boot=_SERVER_BOOT,
            sequence=after.contiguous,
            oldest=after.contiguous,
        )
        outbox.send(session, context.topics.device(device, "ack"), ack)


async def windows(session: AsyncSession, wanted: Selection) -> Sequence[WindowRow]:
    """The stored windows of active models, in order of their start."""
    return await repository.find_windows(session, wanted)


async def find_devices(session: AsyncSession, model: str, release: int) -> Sequence[str]:
    """The devices that have ever counted a window with a release."""
    return await repository.find_devices(session, model, release)


async def merged(
    context: Context,
    session: AsyncSession,
    *,
    model: str,
    release: int,
    where: Mapping[str, str],
    since: datetime | None = None,
    until: datetime | None = None,
) -> Counts:
    """The counts of all devices with the labels `where`, over windows that start in the interval.

    Raises:
        LamplighterError: NOT_FOUND if there is no such release.
    """
    manifest = await releases.load_manifest(context, session, model, release)
    chosen = [
        device.id for device in await devices.ls(session) if where.items() <= device.labels.items()
    ]
    rows = await windows(
        session, Selection(model=model, release=release, devices=chosen, since=since, until=until)
    )
    return merge(manifest, rows)


def merge(manifest: Manifest, rows: Iterable[WindowRow]) -> Counts:
    """Add the counts of windows of one release."""
    total = Counts.zero(manifest)
    for row in rows:
        total = total.merge(msgspec.msgpack.decode(row.counts, type=Counts))
    return total


async def events(
    session: AsyncSession,
    *,
    devices: Collection[str] | None = None,
    since: datetime | None = None,
    limit: int = 200,
) -> Sequence[EventRow]:
    """The newest events first, of some devices or of all."""
    return await repository.find_events(session, devices=devices, since=since, limit=limit)


async def vitals(session: AsyncSession) -> Sequence[VitalsRow]:
    """The newest vitals of every device."""
    return await repository.find_vitals(session)


def _decode(body: bytes, kind: type[T]) -> T:
    try:
        return msgspec.msgpack.decode(body, type=kind)
    except msgspec.MsgspecError as error:
        raise LamplighterError(
            "MESSAGE_MALFORMED", f"The {kind.__name__.lower()} is malformed: {error}."
        ) from error


async def _store_window(
    context: Context,
    session: AsyncSession,
    device: str,
    sealed: Sealed,
    window: Window,
    now_utc: datetime,
) -> None:
    manifest = await releases.load_manifest(context, session, window.model, window.release)
    try:
        window.counts.check_shape(manifest)
    except ValueError as error:
        raise LamplighterError("MESSAGE_MALFORMED", f"{error}".capitalize() + ".") from error
    synchronised = window.clock_synchronised and window.start_utc <= now_utc
    session.add(
        WindowRow(
            device=device,
            sequence=sealed.sequence,
            boot=sealed.boot,
            model=window.model,
            release=window.release,
            variant=window.variant,
            mode=window.mode,
            start_utc=window.start_utc if synchronised else _floor(now_utc, window.length_s),
            length_s=window.length_s,
            clock_synchronised=synchronised,
            received_utc=now_utc,
            counts=msgspec.msgpack.encode(window.counts),
        )
    )


def _floor(moment: datetime, length_s: int) -> datetime:
    """The start of the UTC window in which a moment lies."""
    return moment - timedelta(seconds=moment.timestamp() % length_s)


def _store_event(
    session: AsyncSession, device: str, sealed: Sealed, event: Event, now_utc: datetime
) -> None:
    session.add(
        EventRow(
            device=device,
            boot=sealed.boot,
            sequence=sealed.sequence,
            at_utc=min(event.at_utc, now_utc),  # a clock that runs ahead must not hide newer events
            body=_builtins(event),
        )
    )


async def _store_vitals(
    session: AsyncSession, device: str, newest: Vitals, now_utc: datetime
) -> None:
    await session.merge(VitalsRow(device=device, received_utc=now_utc, body=_builtins(newest)))


def _builtins(message: msgspec.Struct) -> dict[str, Any]:
    """As JSON has it: times as text, and no NaN or infinity."""
    body: dict[str, Any] = msgspec.json.decode(msgspec.json.encode(message))
    return body
