"""One MQTT 5 connection that comes back by itself, driven by the event loop without threads.

paho's client is driven directly: per message that costs a third of what its asyncio wrapper does,
and chunks go by callback into the store.
"""

import asyncio
import contextlib
import logging
import random
import ssl
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from lamplighter_agent.core.retry import Backoff, pause_s
from lamplighter_agent.link.tls import check_dates
from lamplighter_protocol.errors import LamplighterError
from lamplighter_protocol.names import MAX_TRUST_FILE_BYTES
from lamplighter_protocol.telemetry import OFFLINE, ONLINE

_LOG = logging.getLogger(__name__)

CONNECT_TIMEOUT_S: Final = 10.0
BACKOFF: Final = Backoff(first_s=0.5, max_s=60.0)
#: The largest packet we let the broker send: a trust file with its topic and properties.
MAX_PACKET_BYTES: Final = MAX_TRUST_FILE_BYTES + 4096


class TurnedAwayError(ConnectionError):
    """The broker was in reach, but did not accept us."""


@dataclass(frozen=True)
class Broker:
    """Where to connect and as whom.

    Attributes:
        host: Name or address of the broker.
        port: Its port.
        identifier: The client identifier; the device id.
        presence: The retained topic that says whether the device is online.
        tls: The context with the device's certificate; None only on loopback in measurements.
        now_utc: The best known time, against which the broker's certificate is checked.
        keepalive_s: How long nothing may be said before the two make sure of each other.
    """

    host: str
    port: int
    identifier: str
    presence: str
    tls: ssl.SSLContext | None
    now_utc: Callable[[], datetime]
    keepalive_s: int = 300


class Link:
    """Keeps the connection up.

    Args:
        broker: Where to connect.
        on_message: Called in the event loop with topic and payload of each message.
        on_connected: Called in the event loop after each (re)connect, to subscribe.
        on_lost: Called when there is no connection, for each new `problem`.
    """

    def __init__(
        self,
        broker: Broker,
        on_message: Callable[[str, bytes], None],
        on_connected: Callable[[], None],
        on_lost: Callable[[], None] = lambda: None,
    ) -> None:
        self._broker = broker
        self._on_message = on_message
        self._on_connected = on_connected
        self._on_lost = on_lost
        self._client: paho.Client | None = None
        self.problem: str | None = None
        """Why the newest attempt to connect failed."""
        self.turned_away = False
        """Whether the broker was in reach then, but did not accept us."""

    @property
    def connected(self) -> bool:
        """Whether the broker has accepted us and the connection is up."""
        return self._client is not None

    async def run(self) -> None:
        """Connect, and connect again with full-jitter back-off, until cancelled."""
        failures = 0
        while True:
            before = self.problem
            try:
                await self._hold()
                failures = 0
                self.problem = "the connection was lost"
            except (OSError, LamplighterError) as error:
                failures += 1
                self.problem = str(error)
                self.turned_away = isinstance(error, TurnedAwayError)
            if self.problem != before:
                self._on_lost()
            delay_s = pause_s(failures, BACKOFF, random.random())  # noqa: S311 - spreads a fleet, no secret
            _LOG.info("no broker (%s); again in %.1f s", self.problem, delay_s)
            await asyncio.sleep(delay_s)

    async def _hold(self) -> None:
        """Connect once; return when an accepted connection ends.

        Raises:
            OSError: No connection; TurnedAwayError if the broker did not accept it.
            LamplighterError: SERVER_UNTRUSTED.
        """
        loop = asyncio.get_running_loop()
        accepted: asyncio.Future[None] = loop.create_future()
        ended: asyncio.Future[None] = loop.create_future()
        client = self._make_client(accepted, ended)
        connecting = loop.run_in_executor(None, self._connect, client)
        try:
            await asyncio.shield(connecting)
        except ssl.SSLCertVerificationError:
            raise  # the broker's certificate, not ours
        except ssl.SSLError as error:
            raise TurnedAwayError(f"the broker refuses the handshake: {error}") from error
        except asyncio.CancelledError:
            # The thread cannot be stopped: its socket is closed when it is done.
            connecting.add_done_callback(lambda _: _close(client))
            raise
        sock = client.socket()
        if sock is None:
            raise TurnedAwayError("the broker closed the connection")
        try:
            self._check_certificate(sock)
            self._attach(loop, client, sock, ended)
            misc = loop.create_task(_tick(client))
            try:
                await asyncio.wait(
                    {accepted, ended},
                    timeout=CONNECT_TIMEOUT_S,
                    return_when=asyncio.FIRST_COMPLETED,
                )
                if not accepted.done():
                    raise TurnedAwayError("the broker does not accept the connection")
                accepted.result()
                self._client, self.turned_away = client, False
                client.publish(self._broker.presence, ONLINE, qos=1, retain=True)
                self._on_connected()
                await ended
            finally:
                misc.cancel()
        finally:
            self._client = None
            with contextlib.suppress(OSError, ValueError):
                loop.remove_reader(sock)
                loop.remove_writer(sock)
            _close(client)

    def _make_client(
        self, accepted: "asyncio.Future[None]", ended: "asyncio.Future[None]"
    ) -> paho.Client:
        broker = self._broker
        client = paho.Client(
            CallbackAPIVersion.VERSION2,
            client_id=broker.identifier,
            protocol=paho.MQTTv5,
            reconnect_on_failure=False,
        )
        client.connect_timeout = CONNECT_TIMEOUT_S
        client.will_set(broker.presence, OFFLINE, qos=1, retain=True)
        if broker.tls is not None:
            client.tls_set_context(broker.tls)

        def on_connect(_c: Any, _u: Any, _f: Any, reason: Any, _p: Any) -> None:  # noqa: ANN401
            if accepted.done():
                return
            if reason.is_failure:
                accepted.set_exception(TurnedAwayError(f"the broker says: {reason}"))
            else:
                accepted.set_result(None)

        def on_disconnect(*_: Any) -> None:  # noqa: ANN401
            if not ended.done():
                ended.set_result(None)

        client.on_connect = on_connect
        client.on_disconnect = on_disconnect
        client.on_message = self._deliver
        return client

    def _deliver(self, _client: Any, _userdata: Any, message: paho.MQTTMessage) -> None:  # noqa: ANN401
        try:
            topic = message.topic
        except UnicodeDecodeError:
            _LOG.warning("MESSAGE_MALFORMED: a topic is not UTF-8")
            return
        self._on_message(topic, bytes(message.payload))

    def _connect(self, client: paho.Client) -> None:
        properties = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]
        properties.MaximumPacketSize = MAX_PACKET_BYTES
        client.connect(
            self._broker.host,
            self._broker.port,
            keepalive=self._broker.keepalive_s,
            clean_start=True,
            properties=properties,
        )

    def _check_certificate(self, sock: Any) -> None:  # noqa: ANN401 - paho's socket-like
        if isinstance(sock, ssl.SSLSocket):
            check_dates(sock.getpeercert() or {}, self._broker.now_utc())

    def _attach(
        self,
        loop: asyncio.AbstractEventLoop,
        client: paho.Client,
        sock: Any,  # noqa: ANN401
        ended: "asyncio.Future[None]",
    ) -> None:
        def read() -> None:
            # Decrypted bytes may wait inside TLS, where the selector does not see them.
            while client.loop_read() == paho.MQTT_ERR_SUCCESS and _pending(client):
                pass
            if client.socket() is None and not ended.done():
                ended.set_result(None)

        def write() -> None:
            client.loop_write()

        def closing(_client: Any, _userdata: Any, closed: Any) -> None:  # noqa: ANN401
            loop.remove_reader(closed)
            loop.remove_writer(closed)

        client.on_socket_close = closing

        def wants_to_write(*_: Any) -> None:  # noqa: ANN401
            loop.add_writer(sock, write)

        def has_written(*_: Any) -> None:  # noqa: ANN401
            loop.remove_writer(sock)

        client.on_socket_register_write = wants_to_write
        client.on_socket_unregister_write = has_written
        loop.add_reader(sock, read)
        if client.want_write():
            loop.add_writer(sock, write)
        if _pending(client):  # the answer came with the handshake's last bytes
            loop.call_soon(read)

    def publish(self, topic: str, payload: bytes, *, retain: bool = False) -> bool:
        """Hand a message to the connection (QoS 1). False without one: it is not kept here."""
        if self._client is None:
            return False
        return self._client.publish(topic, payload, qos=1, retain=retain).rc == (
            paho.MQTT_ERR_SUCCESS
        )

    def subscribe(self, topics: Sequence[str], qos: int = 0) -> None:
        """See ports.transport."""
        if self._client is not None and topics:
            self._client.subscribe([(topic, qos) for topic in topics])

    def unsubscribe(self, topics: Sequence[str]) -> None:
        """See ports.transport."""
        if self._client is not None and topics:
            self._client.unsubscribe(list(topics))

    def reconnect(self) -> None:
        """End the connection; `run` makes a new one, with what the TLS context holds by then."""
        if self._client is not None:
            self._client.disconnect()

    async def say_goodbye(self, timeout_s: float = 2.0) -> None:
        """Publish that the device is offline, wait for the broker to have it, and disconnect."""
        client = self._client
        if client is None:
            return
        info = client.publish(self._broker.presence, OFFLINE, qos=1, retain=True)
        deadline = asyncio.get_running_loop().time() + timeout_s
        while not info.is_published() and asyncio.get_running_loop().time() < deadline:  # noqa: ASYNC110 - paho tells by polling
            await asyncio.sleep(0.01)
        client.disconnect()


async def _tick(client: paho.Client) -> None:
    while client.loop_misc() == paho.MQTT_ERR_SUCCESS:  # noqa: ASYNC110 - keep-alive
        await asyncio.sleep(1)


def _pending(client: paho.Client) -> bool:
    sock = client.socket()
    return isinstance(sock, ssl.SSLSocket) and sock.pending() > 0


def _close(client: paho.Client) -> None:
    sock = client.socket()
    client.on_disconnect = client.on_socket_close = client.on_socket_unregister_write = None
    if sock is not None:
        sock.close()
