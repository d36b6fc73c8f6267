"""Keeps the device's certificate valid: in time over MQTT, or over HTTPS once that is too late."""

import asyncio
import logging
import random
import ssl
from collections.abc import Callable
from datetime import datetime
from typing import Final, Literal

from lamplighter_agent.link.mqtt import Link
from lamplighter_agent.link.renew import ask_door, is_newer, read_validity
from lamplighter_agent.store.identity import (
    Identity,
    forget_next_tls_key,
    next_tls_key,
    replace_certificate,
)
from lamplighter_protocol import dsse
from lamplighter_protocol.errors import LamplighterError
from lamplighter_protocol.renewal import (
    LEAF,
    RenewalRequest,
    Validity,
    read_reply,
    sign_renewal,
)
from lamplighter_protocol.topics import Topics

ANSWER_TIMEOUT_S: Final = 15.0
MAX_PAUSE_S: Final = 3600.0
_LOG = logging.getLogger(__name__)


def choose_way(
    validity: Validity, now_utc: datetime, *, connected: bool, turned_away: bool
) -> Literal["broker", "door"] | None:
    """Where to ask for a new certificate now, if at all.

    A board without a clock may take an expired certificate for a valid one; then the broker's
    refusal is what it learns from.

    Args:
        validity: Of the present certificate.
        now_utc: The later of the clock and the signed floor.
        connected: Whether the broker has accepted us.
        turned_away: Whether it was in reach at the newest attempt, but did not accept us.
    """
    if connected:
        return "broker" if validity.is_due(now_utc) else None
    return "door" if turned_away or validity.has_ended(now_utc) else None


class Renewal:
    """Renews the certificate, stores it, and connects with it.

    Args:
        identity: Whose certificate it is.
        link: The connection that is made again with the new certificate.
        tls: What the link connects with.
        on_problem: Told why there is no new certificate.
        now_utc: The later of the clock and the signed floor.
        interval_s: About how often the certificate's age is looked at; pauses double from there
            as long as asking is in vain.
    """

    def __init__(
        self,
        identity: Identity,
        link: Link,
        tls: ssl.SSLContext,
        on_problem: Callable[[LamplighterError], None],
        now_utc: Callable[[], datetime],
        *,
        interval_s: float,
    ) -> None:
        self._identity = identity
        self._link = link
        self._tls = tls
        self._on_problem = on_problem
        self._now_utc = now_utc
        self._interval_s = interval_s
        enrolment = identity.enrolment
        self._topic = Topics(enrolment.fleet).device(enrolment.device, LEAF)
        self._reply: asyncio.Future[bytes] | None = None

    async def run(self) -> None:
        """Look and renew until cancelled."""
        in_vain = 0
        while True:
            try:
                in_vain = 0 if await self._look() else in_vain + 1
            except LamplighterError as error:
                in_vain += 1
                self._on_problem(error)
            ceiling_s = min(MAX_PAUSE_S, 2 * self._interval_s * 2**in_vain)
            await asyncio.sleep(random.uniform(0, ceiling_s))  # noqa: S311 - spreads a fleet

    def take(self, payload: bytes) -> None:
        """The server's reply, from the broker; unasked for it is not looked at."""
        if self._reply is not None and not self._reply.done():
            self._reply.set_result(payload)

    async def _look(self) -> bool:
        """Renew if it is due.

        Returns:
            False if it was due and the server had nothing newer.

        Raises:
            LamplighterError: Why there is no new certificate.
        """
        identity = self._identity
        signer = identity.signer
        current_pem = identity.certificate_file.read_text()
        way = choose_way(
            read_validity(current_pem),
            self._now_utc(),
            connected=self._link.connected,
            turned_away=self._link.turned_away,
        )
        if way is None:
            return True
        tls_key = next_tls_key(identity.directory) if identity.on_token else None
        key = tls_key.public_key() if tls_key else signer.public
        try:
            pem = await self._ask(way, key)
        except LamplighterError as error:
            if error.code == "KEY_REFUSED":  # an old image of the card was put back
                forget_next_tls_key(identity.directory)
            raise
        ca_pem = identity.ca_file.read_text()
        if not is_newer(pem, current_pem=current_pem, ca_pem=ca_pem, key=key, signer=signer.public):
            return False
        replace_certificate(identity.directory, pem, tls_key)
        self._tls.load_cert_chain(identity.certificate_file, identity.key_file)
        _LOG.info("the certificate was renewed until %s", read_validity(pem).until_utc)
        self._link.reconnect()
        return True

    async def _ask(self, way: Literal["broker", "door"], key: dsse.PublicKey) -> str:
        identity = self._identity
        enrolment, signer = identity.enrolment, identity.signer
        wanted = RenewalRequest(
            device=enrolment.device,
            fleet=enrolment.fleet,
            tls_key_pem=dsse.public_pem(key) if identity.on_token else "",
        )
        request = await asyncio.to_thread(sign_renewal, wanted, signer)
        if way == "broker":
            return read_reply(await self._ask_broker(request))
        ca_pem, now_utc = identity.ca_file.read_text(), self._now_utc()
        return read_reply(
            await asyncio.to_thread(ask_door, enrolment.url, ca_pem, request, now_utc)
        )

    async def _ask_broker(self, request: bytes) -> bytes:
        self._reply = asyncio.get_running_loop().create_future()
        if not self._link.publish(self._topic, request):
            raise LamplighterError("SERVER_UNREACHABLE", "The connection was lost.")
        try:
            return await asyncio.wait_for(self._reply, ANSWER_TIMEOUT_S)
        except asyncio.TimeoutError as error:
            raise LamplighterError(
                "SERVER_UNREACHABLE", "The server does not answer a renewal."
            ) from error
