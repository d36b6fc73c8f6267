"""The floor that `fanout` is compared with: hand-made MQTT over bare TLS sockets.

It does the least that a correct receiver must do: eight chunks outstanding, SHA-256 of each
chunk, nothing kept. One thread, one selector, as the simulated devices have one loop.
"""

import hashlib
import selectors
import socket
import ssl
import struct
from collections.abc import Sequence
from dataclasses import dataclass, field

WINDOW = 8


def _text(value: str) -> bytes:
    raw = value.encode()
    return struct.pack("!H", len(raw)) + raw


def _packet(kind: int, body: bytes) -> bytes:
    length, head = len(body), bytearray([kind])
    while True:
        length, digit = divmod(length, 128)
        head.append(digit | (0x80 if length else 0))
        if not length:
            return bytes(head) + body


def _connect_packet(client_id: str) -> bytes:
    return _packet(0x10, _text("MQTT") + bytes([4, 2]) + struct.pack("!H", 300) + _text(client_id))


def _subscribe_packet(topics: Sequence[str]) -> bytes:
    return _packet(0x82, b"\0\1" + b"".join(_text(topic) + b"\0" for topic in topics))


@dataclass
class BareReceiver:
    """One connection that pulls a list of retained topics."""

    connection: ssl.SSLSocket
    topics: list[str]
    digests: dict[str, str]
    buffer: bytearray = field(default_factory=bytearray)
    asked: int = 0
    received: int = 0

    def ask(self) -> None:
        """Subscribe to the next eight."""
        batch = self.topics[self.asked : self.asked + WINDOW]
        self.asked += len(batch)
        if batch:
            self.connection.sendall(_subscribe_packet(batch))

    def read(self) -> None:
        """Take what has arrived; check every complete chunk."""
        while True:
            try:
                part = self.connection.recv(262_144)
            except ssl.SSLWantReadError:
                break
            if not part:
                raise ConnectionError("the broker closed the connection")
            self.buffer += part
        while (packet := self._take()) is not None:
            kind, body = packet
            if kind >> 4 == 3:
                self._check(body)

    def _take(self) -> tuple[int, memoryview] | None:
        length, shift, start = 0, 0, 1
        while True:
            if len(self.buffer) <= start:
                return None
            digit = self.buffer[start]
            length |= (digit & 0x7F) << shift
            start, shift = start + 1, shift + 7
            if digit < 0x80:
                break
        if len(self.buffer) < start + length:
            return None
        kind, body = self.buffer[0], memoryview(bytes(self.buffer[start : start + length]))
        del self.buffer[: start + length]
        return kind, body

    def _check(self, body: memoryview) -> None:
        size = struct.unpack("!H", body[:2])[0]
        topic = bytes(body[2 : 2 + size]).decode()
        if hashlib.sha256(body[2 + size :]).hexdigest() != self.digests[topic]:
            raise ValueError(f"wrong chunk on {topic}")
        self.received += 1
        if self.received == self.asked:
            self.ask()


def connect(port: int, context: ssl.SSLContext, client_id: str) -> ssl.SSLSocket:
    """Open one authenticated MQTT 3.1.1 connection on the loopback interface."""
    plain = socket.create_connection(("127.0.0.1", port), timeout=30)
    connection = context.wrap_socket(plain, server_hostname="localhost")
    connection.sendall(_connect_packet(client_id))
    if connection.recv(4) != b"\x20\x02\x00\x00":
        raise ConnectionError("the broker refused the connection")
    connection.setblocking(False)
    return connection


def pull_all(receivers: list[BareReceiver]) -> None:
    """Run until every receiver has every topic."""
    selector = selectors.DefaultSelector()
    for receiver in receivers:
        selector.register(receiver.connection, selectors.EVENT_READ, receiver)
        receiver.connection.setblocking(True)
        receiver.ask()
        receiver.connection.setblocking(False)
    waiting = len(receivers)
    while waiting:
        for key, _ in selector.select(timeout=60) or _stalled():
            receiver = key.data
            receiver.connection.setblocking(False)
            receiver.read()
            if receiver.received == len(receiver.topics):
                selector.unregister(receiver.connection)
                waiting -= 1
    selector.close()


def _stalled() -> list[tuple[selectors.SelectorKey, int]]:
    raise TimeoutError("no chunk arrived for a minute")
