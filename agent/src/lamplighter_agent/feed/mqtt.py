"""A topic of an MQTT broker, as a source and as a sink."""

import queue
import ssl
from collections.abc import Iterator, Mapping
from functools import partial
from typing import Any, Final
from uuid import uuid4

import msgspec
import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from lamplighter_agent.feed.content import read_json
from lamplighter_agent.ports.feed import Item

#: Messages that the broker sends ahead of an answer; the others wait there.
_AHEAD: Final = 16
_CONNECT_TIMEOUT_S: Final = 10.0
_PUBLISH_TIMEOUT_S: Final = 10.0
#: How long the broker keeps what comes while the agent is away.
_SESSION_S: Final = 7 * 86_400


class _Table(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    topic: str
    host: str = "127.0.0.1"
    port: int = 1883
    username: str | None = None
    password_file: str | None = None
    ca_file: str | None = None
    """With it the connection is TLS."""

    def client(self, client_id: str) -> paho.Client:
        """A client that is not connected yet."""
        client = paho.Client(
            CallbackAPIVersion.VERSION2, client_id, protocol=paho.MQTTv5, manual_ack=True
        )
        if self.username is not None:
            client.username_pw_set(self.username, self._password())
        if self.ca_file is not None:
            client.tls_set_context(ssl.create_default_context(cafile=self.ca_file))
        return client

    def _password(self) -> str | None:
        if self.password_file is None:
            return None
        with open(self.password_file, encoding="utf-8") as file:  # noqa: PTH123
            return file.read().strip()


class _SourceTable(_Table, kw_only=True, forbid_unknown_fields=True):
    client_id: str
    """Names the session in which the broker keeps messages; another one for each source."""


class MqttSource:
    """Rows in JSON, one message each; acknowledged when the sinks have the result."""

    def __init__(self, table: dict[str, Any]) -> None:
        self._table = msgspec.convert(table, _SourceTable)
        self._client: paho.Client | None = None
        self._newest: paho.MQTTMessage | None = None

    def items(self) -> Iterator[Item]:
        """See ports.feed."""
        came: queue.Queue[paho.MQTTMessage | None] = queue.Queue()
        client = self._client = self._table.client(self._table.client_id)
        client.on_connect = self._subscribe
        client.on_disconnect = lambda *_: came.put(None)
        client.on_message = lambda _client, _userdata, message: came.put(message)
        properties = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]
        properties.SessionExpiryInterval = _SESSION_S
        properties.ReceiveMaximum = _AHEAD
        client.connect_timeout = _CONNECT_TIMEOUT_S
        client.connect(self._table.host, self._table.port, clean_start=False, properties=properties)
        client.loop_start()
        try:
            while (message := came.get()) is not None:
                self._newest = message
                key = f"{message.topic}#{message.mid}"
                yield Item(key, partial(read_json, bytes(message.payload)))
        finally:
            client.on_disconnect = None
            client.disconnect()
            client.loop_stop()
        raise OSError(f"the broker {self._table.host} has closed the connection")

    def done(self, item: Item, *, ok: bool) -> None:  # noqa: ARG002 - as in ports.feed
        """See ports.feed: what no model will ever answer is acknowledged too."""
        if self._client is not None and self._newest is not None:
            self._client.ack(self._newest.mid, self._newest.qos)

    def _subscribe(self, client: paho.Client, *_: object) -> None:
        client.subscribe(self._table.topic, qos=1)


class MqttSink:
    """Results as JSON, with QoS 1."""

    def __init__(self, table: dict[str, Any]) -> None:
        self._table = msgspec.convert(table, _Table)
        self._client: paho.Client | None = None

    def put(self, result: Mapping[str, Any]) -> None:
        """See ports.feed."""
        try:
            client = self._connected()
            sent = client.publish(self._table.topic, msgspec.json.encode(result), qos=1)
            sent.wait_for_publish(_PUBLISH_TIMEOUT_S)
            if not sent.is_published():
                raise OSError(f"the broker {self._table.host} does not acknowledge")
        except (OSError, RuntimeError, ValueError) as error:
            self._close()
            raise OSError(str(error)) from error

    def _connected(self) -> paho.Client:
        if self._client is None:
            client = self._table.client(f"lamplighter-sink-{uuid4().hex[:12]}")
            client.connect_timeout = _CONNECT_TIMEOUT_S
            client.connect(self._table.host, self._table.port)
            client.loop_start()
            self._client = client
        return self._client

    def _close(self) -> None:
        if self._client is not None:
            self._client.disconnect()
            self._client.loop_stop()
            self._client = None
