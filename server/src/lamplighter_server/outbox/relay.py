"""Takes what services have queued to the broker, in order and after commit; loses nothing."""

import asyncio
import logging
from typing import Final

import aiomqtt
from sqlalchemy import delete, select

from lamplighter_server.assignments import service as assignments
from lamplighter_server.blobs import service as blobs
from lamplighter_server.confidential import service as confidential
from lamplighter_server.context import Context
from lamplighter_server.outbox.models import OutboxRow
from lamplighter_server.pki.authority import RELAY
from lamplighter_server.trust import service as trust

BATCH_ROWS: Final = 64
RECONNECT_DELAY_S: Final = 0.5
#: Commits wake the relay; this only bounds the delay of what another process has committed.
LOOK_AGAIN_S: Final = 5.0
_log = logging.getLogger(__name__)


async def relay(context: Context) -> None:
    """Deliver until cancelled; a row is deleted after the broker's acknowledgement."""
    while True:
        try:
            async with _client(context) as client:
                _log.info("The relay is connected")
                await _restore(context, client)
                while True:
                    await _deliver(context, client)
                    await context.database.wait_for_messages(LOOK_AGAIN_S)
        except aiomqtt.MqttError as error:
            _log.warning("The relay lost the broker: %s", error)
        await asyncio.sleep(RECONNECT_DELAY_S)


def _client(context: Context) -> aiomqtt.Client:
    return aiomqtt.Client(
        "127.0.0.1",
        context.settings.broker_port,
        identifier=RELAY,
        protocol=aiomqtt.ProtocolVersion.V5,
        clean_start=True,
        tls_context=context.authority.client_tls(RELAY),
        logger=logging.getLogger(f"{__name__}.mqtt"),
    )


async def _restore(context: Context, client: aiomqtt.Client) -> None:
    """Publish all that must be retained: the broker may have lost its memory."""
    async with context.database.reading() as session:
        files = await trust.published(session)
        envelopes = await assignments.current(session)
        digests = await blobs.published(session)
    for name, content in files:
        await _publish(context, client, context.topics.trust(name), content, retain=True)
    for row in envelopes:
        topic = context.topics.device(row.device, "desired")
        await _publish(context, client, topic, row.envelope, retain=True)
    for sha256 in digests:
        await _publish_blob(context, client, sha256)


async def _deliver(context: Context, client: aiomqtt.Client) -> None:
    """Publish every waiting row in order; those that the broker has are deleted by the batch."""
    while True:
        async with context.database.reading() as session:
            query = select(OutboxRow).order_by(OutboxRow.id).limit(BATCH_ROWS)
            rows = (await session.scalars(query)).all()
        if not rows:
            return
        for row in rows:
            if row.kind == "message":
                await _publish(context, client, row.topic, row.payload, retain=row.retain)
            elif row.kind == "publish-blob":
                await _publish_blob(context, client, row.topic)
            else:
                await _clear_blob(context, client, row.topic)
        async with context.database.transaction() as session:
            delivered = [row.id for row in rows]
            await session.execute(delete(OutboxRow).where(OutboxRow.id.in_(delivered)))


async def _publish_blob(context: Context, client: aiomqtt.Client, sha256: str) -> None:
    async with context.database.reading() as session:
        form = await blobs.find_form(context, session, sha256)
        is_confidential = await confidential.is_confidential(session, sha256)
    if form is None:  # the next row must not wait for a file that was deleted
        _log.error("Blob %s cannot be published: it is not stored", sha256)
        return
    if is_confidential:  # its model became so after this was queued
        return
    for number in range(form.chunk_count):
        topic = context.topics.chunk(sha256, number)
        await _publish(context, client, topic, form.chunk(number), retain=True)


async def _clear_blob(context: Context, client: aiomqtt.Client, sha256: str) -> None:
    async with context.database.reading() as session:
        form = await blobs.find_form(context, session, sha256)
    if form is None:
        _log.error("Blob %s cannot be cleared: its length is not known", sha256)
        return
    for number in range(form.chunk_count):
        await _publish(context, client, context.topics.chunk(sha256, number), b"", retain=True)


async def _publish(
    context: Context, client: aiomqtt.Client, topic: str, payload: bytes, *, retain: bool
) -> None:
    await client.publish(topic, payload, qos=1, retain=retain)
    context.figures.published_bytes += len(payload)
