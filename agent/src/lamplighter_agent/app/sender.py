"""Sends what waits in the outbox, in order, and again until the server acknowledges it."""

import asyncio
from typing import Final

import msgspec

from lamplighter_agent.app.teller import Teller
from lamplighter_agent.link.mqtt import Link
from lamplighter_agent.store.identity import Identity
from lamplighter_agent.store.outbox import Outbox
from lamplighter_protocol.errors import LamplighterError
from lamplighter_protocol.telemetry import Ack, Stream, seal, unseal
from lamplighter_protocol.topics import Topics

STREAMS: Final[tuple[Stream, ...]] = ("event", "window", "vitals")
#: How many messages of a stream may be under way without an acknowledgement.
MAX_UNACKNOWLEDGED: Final = 64
RESEND_S: Final = 30.0


class Sender:
    """Moves the outbox to the server."""

    def __init__(self, outbox: Outbox, link: Link, identity: Identity, teller: Teller) -> None:
        self._outbox = outbox
        self._link = link
        self._identity = identity
        self._teller = teller
        self._device = identity.enrolment.device
        self._topics = Topics(identity.enrolment.fleet)
        self._sent: dict[Stream, int] = dict.fromkeys(STREAMS, 0)

    async def run(self) -> None:
        """Send what is new as it comes, and all again when no acknowledgement came."""
        while True:
            try:
                await asyncio.wait_for(self._teller.messages_due.wait(), RESEND_S)
            except asyncio.TimeoutError:
                self.start_over()
            self._teller.messages_due.clear()
            try:
                for stream in STREAMS:
                    self._send(stream)
            except LamplighterError as error:
                self._teller.problem(error)

    def start_over(self) -> None:
        """Forget what was sent: the connection is new, or nothing was acknowledged."""
        self._sent = dict.fromkeys(STREAMS, 0)
        self._teller.messages_due.set()

    def _send(self, stream: Stream) -> None:
        oldest = self._outbox.oldest(stream)
        room = MAX_UNACKNOWLEDGED - max(0, self._sent[stream] + 1 - oldest)
        for waiting in self._outbox.waiting(stream, self._sent[stream], max(0, room)):
            raw = seal(
                msgspec.Raw(waiting.body),
                key=self._identity.telemetry_key,
                device=self._device,
                stream=stream,
                boot=waiting.boot,
                sequence=waiting.sequence,
                oldest=oldest,
            )
            if not self._link.publish(self._topics.device(self._device, stream), raw):
                return
            self._sent[stream] = waiting.sequence

    def on_ack(self, raw: bytes) -> None:
        """Delete what the server has stored.

        Raises:
            LamplighterError: MESSAGE_TOO_LARGE, MESSAGE_MALFORMED, MESSAGE_FORGED, DISK_FULL,
                DISK_FAILED.
        """
        _, ack = unseal(
            raw, Ack, key=self._identity.telemetry_key, device=self._device, stream="ack"
        )
        self._outbox.acknowledge(ack.stored)
        self._teller.messages_due.set()
