"""Tries the server's two doors once, without doing anything there. Blocks."""

import contextlib
import http.client
import socket
import ssl
import time
import urllib.parse
from collections.abc import Iterator
from datetime import datetime
from email.utils import parsedate_to_datetime
from typing import Any, Final

import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion

from lamplighter_agent.link.tls import check_dates
from lamplighter_protocol.errors import LamplighterError

TIMEOUT_S: Final = 5.0


def resolve(host: str, port: int) -> str:
    """The first address of a name.

    Raises:
        LamplighterError: SERVER_UNREACHABLE.
    """
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except OSError as error:
        raise LamplighterError(
            "SERVER_UNREACHABLE", f"The name {host} leads nowhere: {error.strerror}."
        ) from error
    return str(found[0][4][0])


def shake_hands(host: str, port: int, tls: ssl.SSLContext, now_utc: datetime) -> None:
    """Open a TLS connection and close it: the peer must belong to the pinned authority.

    Raises:
        LamplighterError: SERVER_UNREACHABLE, SERVER_UNTRUSTED.
    """
    with _expected(f"{host}:{port}"), socket.create_connection((host, port), TIMEOUT_S) as raw:  # noqa: SIM117 - the inner one takes over
        with tls.wrap_socket(raw, server_hostname=host) as wrapped:
            check_dates(wrapped.getpeercert() or {}, now_utc)


def door_time(url: str, tls: ssl.SSLContext) -> datetime | None:
    """What the devices' door takes for the present; None if it does not say.

    Raises:
        LamplighterError: SERVER_UNREACHABLE, SERVER_UNTRUSTED.
    """
    parts = urllib.parse.urlsplit(url)
    connection = http.client.HTTPSConnection(
        parts.hostname or "", parts.port, timeout=TIMEOUT_S, context=tls
    )
    try:
        with _expected(url):
            connection.request("HEAD", "/")
            said = connection.getresponse().headers["Date"]
    finally:
        connection.close()
    try:
        return parsedate_to_datetime(said or "")
    except ValueError:
        return None


def log_in(host: str, port: int, device: str, tls: ssl.SSLContext | None) -> None:
    """Let the broker accept the device, and leave again; nothing is published.

    A broker has one connection for each device: this must not be tried while the agent runs.

    Raises:
        LamplighterError: SERVER_UNREACHABLE, SERVER_UNTRUSTED, DEVICE_REVOKED if it is refused.
    """
    answers: list[Any] = []
    client = paho.Client(
        CallbackAPIVersion.VERSION2,
        client_id=device,
        protocol=paho.MQTTv5,
        reconnect_on_failure=False,
    )
    client.connect_timeout = TIMEOUT_S
    client.on_connect = lambda _c, _u, _f, reason, _p: answers.append(reason)
    if tls is not None:
        client.tls_set_context(tls)
    try:
        with _expected(f"{host}:{port}"):
            client.connect(host, port, keepalive=30, clean_start=True)
            deadline_mono = time.monotonic() + TIMEOUT_S
            while not answers and time.monotonic() < deadline_mono:
                if client.loop(timeout=0.2) != paho.MQTT_ERR_SUCCESS:
                    break
    finally:
        client.disconnect()
    if not answers or answers[0].is_failure:
        said = answers[0] if answers else "nothing, and closes the connection"
        raise LamplighterError("DEVICE_REVOKED", f"The broker answers {device}: {said}.")


@contextlib.contextmanager
def _expected(place: str) -> Iterator[None]:
    try:
        yield
    except ssl.SSLCertVerificationError as error:
        raise LamplighterError(
            "SERVER_UNTRUSTED", f"{place} does not belong to the invited CA: {error.reason}."
        ) from error
    except (OSError, http.client.HTTPException, ValueError) as error:
        raise LamplighterError(
            "SERVER_UNREACHABLE", f"{place} does not answer: {error}."
        ) from error
