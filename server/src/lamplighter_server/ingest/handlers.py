"""One message from a device, one transaction."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Final

import msgspec
from sqlalchemy.ext.asyncio import AsyncSession

from lamplighter_protocol.errors import LamplighterError
from lamplighter_protocol.renewal import LEAF, REPLY_LEAF, RenewalReply
from lamplighter_protocol.reported import Failure
from lamplighter_protocol.telemetry import Stream
from lamplighter_server.actor import Actor
from lamplighter_server.assignments import service as assignments
from lamplighter_server.context import Context
from lamplighter_server.devices import clones, renewal, revocation
from lamplighter_server.devices import service as devices
from lamplighter_server.devices.models import Device
from lamplighter_server.outbox import service as outbox
from lamplighter_server.telemetry import service as telemetry


@dataclass(frozen=True)
class Incoming:
    """A message as it came from the broker."""

    topic: str
    payload: bytes
    retained: bool
    """Whether it was kept by the broker: then it says nothing about the present."""
    received_utc: datetime


Handler = Callable[[Context, AsyncSession, Device, Incoming], Awaitable[None]]


async def _on_reported(
    context: Context, session: AsyncSession, device: Device, message: Incoming
) -> None:
    try:
        report = await devices.accept_report(context, session, device, message.payload)
    except LamplighterError as error:
        if error.code == "REPORT_STALE" and await clones.notice(
            context, session, device, message.payload
        ):
            return  # the alert is to be stored
        raise
    await assignments.answer(context, session, device.id, report)


async def _on_presence(
    _context: Context, _session: AsyncSession, device: Device, message: Incoming
) -> None:
    devices.set_presence(device, message.payload)


async def _on_renew(
    context: Context, session: AsyncSession, device: Device, message: Incoming
) -> None:
    try:
        reply = await renewal.renew(context, session, device, message.payload)
    except LamplighterError as error:
        reply = RenewalReply(failure=Failure(code=error.code, sentence=error.sentence))
    topic = context.topics.device(device.id, REPLY_LEAF)
    outbox.send(session, topic, msgspec.json.encode(reply))


def _on_stream(stream: Stream) -> Handler:
    async def handle(
        context: Context, session: AsyncSession, device: Device, message: Incoming
    ) -> None:
        await telemetry.accept(
            context,
            session,
            device=device.id,
            stream=stream,
            raw=message.payload,
            telemetry_key=device.telemetry_key,
            now_utc=message.received_utc,
        )

    return handle


#: By the part of the topic after the device.
HANDLERS: Final[Mapping[str, Handler]] = {
    "reported": _on_reported,
    "presence": _on_presence,
    LEAF: _on_renew,
    "window": _on_stream("window"),
    "vitals": _on_stream("vitals"),
    "event": _on_stream("event"),
}


async def handle(context: Context, message: Incoming) -> None:
    """Store one message.

    Raises:
        LamplighterError: DEVICE_UNKNOWN, DEVICE_REVOKED, MESSAGE_MALFORMED, or what the slice
            refuses it with; nothing is stored then.
    """
    place = context.topics.parse_device(message.topic)
    handler = HANDLERS.get(place.leaf)
    if handler is None:
        raise LamplighterError("MESSAGE_MALFORMED", f"Nobody reads {message.topic!r}.")
    async with context.database.transaction(Actor("device", place.device)) as session:
        device = await devices.get(session, place.device)
        revocation.check_admitted(device)
        await handler(context, session, device, message)
        if not message.retained:
            device.last_seen_utc = message.received_utc
