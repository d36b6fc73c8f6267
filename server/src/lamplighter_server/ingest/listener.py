"""Listens to the devices. A message is acknowledged to the broker only after its commit.

The network thread waits for each message to be stored before it reads the next one. A slow
database therefore slows the socket, and what waits, waits in the broker's queue, which survives
a restart of this process; nothing is dropped in between.
"""

import asyncio
import logging
from concurrent.futures import CancelledError
from contextlib import suppress
from typing import Final

from paho.mqtt.client import Client, ConnectFlags, MQTTMessage
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode
from sqlalchemy.exc import OperationalError

from lamplighter_protocol.errors import LamplighterError
from lamplighter_server.broker.config import SYS_BYTES_RECEIVED, SYS_BYTES_SENT
from lamplighter_server.context import Context
from lamplighter_server.ingest.handlers import Incoming, handle
from lamplighter_server.pki.authority import INGEST

#: How long the broker keeps what devices send while this process is away.
SESSION_EXPIRY_S: Final = 86_400
RETRY_DELAY_S: Final = 0.5
_log = logging.getLogger(__name__)


class Listener:
    """The server's subscriptions; `run` keeps them until cancelled."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._topics = context.topics.server_reads()
        self._loop = asyncio.get_running_loop()
        self._stopping = False
        client = Client(
            CallbackAPIVersion.VERSION2, client_id=INGEST, protocol=MQTTProtocolVersion.MQTTv5
        )
        client.tls_set_context(context.authority.client_tls(INGEST))
        client.reconnect_delay_set(min_delay=1, max_delay=5)
        client.on_connect = self._on_connect
        client.on_message = self._on_message
        self._client = client

    async def run(self) -> None:
        """Connect, and reconnect by itself, until cancelled."""
        properties = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]
        properties.SessionExpiryInterval = SESSION_EXPIRY_S
        self._client.connect_async(
            "127.0.0.1",
            self._context.settings.broker_port,
            clean_start=False,
            properties=properties,
        )
        self._client.loop_start()
        try:
            await asyncio.Event().wait()
        finally:
            self._stopping = True
            self._client.disconnect()
            await asyncio.to_thread(self._client.loop_stop)

    def _on_connect(
        self,
        client: Client,
        _userdata: object,
        _flags: ConnectFlags,
        reason: ReasonCode,
        _properties: Properties | None,
    ) -> None:
        """Subscribe anew each time: retained reports and presence are read again."""
        if reason.is_failure:
            _log.warning("The broker refused the listener: %s", reason)
            return
        client.subscribe([(topic, 1) for topic in self._topics])
        client.subscribe([(SYS_BYTES_SENT, 0), (SYS_BYTES_RECEIVED, 0)])
        _log.info("The listener is connected")

    def _on_message(self, _client: Client, _userdata: object, message: MQTTMessage) -> None:
        """Runs in the network thread, which acknowledges when this returns."""
        stored = asyncio.run_coroutine_threadsafe(self._take(message), self._loop)
        with suppress(CancelledError):
            stored.result()

    async def _take(self, message: MQTTMessage) -> None:
        figures = self._context.figures
        if message.topic == SYS_BYTES_SENT:
            figures.broker_sent_bytes = int(message.payload)
        elif message.topic == SYS_BYTES_RECEIVED:
            figures.broker_received_bytes = int(message.payload)
        else:
            await self._store(
                Incoming(
                    topic=message.topic,
                    payload=bytes(message.payload),
                    retained=message.retain,
                    received_utc=self._context.clock(),
                )
            )

    async def _store(self, message: Incoming) -> None:
        figures = self._context.figures
        while True:
            try:
                await handle(self._context, message)
                figures.ingested_messages += 1
            except LamplighterError as error:
                figures.refused[error.code] += 1
                level = logging.DEBUG if error.code == "REPORT_STALE" else logging.WARNING
                _log.log(level, "Refused a message on %s: %s", message.topic, error)
            except OperationalError:  # the database is busy or away: the message must wait
                _log.exception("The database does not take a message on %s yet", message.topic)
                await asyncio.sleep(RETRY_DELAY_S)
                if not self._stopping:  # else it stays with the broker, unacknowledged
                    continue
            except Exception:  # noqa: BLE001 - a fault in one message must not stop the others
                figures.refused["INTERNAL"] += 1
                _log.exception("A message on %s could not be handled", message.topic)
            return
