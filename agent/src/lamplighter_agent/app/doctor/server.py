"""What stands between the board and its server: names, the network, certificates, the broker."""

from collections.abc import Iterator
from datetime import datetime
from urllib.parse import urlsplit

from lamplighter_agent.app.doctor.findings import Finding, fail, judge_validity, ok, refused
from lamplighter_agent.app.status import Status
from lamplighter_agent.link.knock import door_time, log_in, resolve, shake_hands
from lamplighter_agent.link.renew import check_own, read_validity
from lamplighter_agent.link.tls import device_context, pinned_context
from lamplighter_agent.store.identity import Identity, load_private
from lamplighter_protocol.errors import LamplighterError


def check_certificate(identity: Identity, now_utc: datetime) -> Iterator[Finding]:
    """The device's certificate: its own, of the invited authority, and valid."""
    pem = identity.certificate_file.read_text()
    tls_key = load_private(identity.key_file).public_key()
    ca_pem, signer = identity.ca_file.read_text(), identity.signer.public
    check_own(pem, ca_pem=ca_pem, key=tls_key, signer=signer)
    yield judge_validity(read_validity(pem), now_utc)


def ask_door(identity: Identity, now_utc: datetime) -> tuple[list[Finding], datetime | None]:
    """The devices' door, and what it takes for the present."""
    url = identity.enrolment.url
    parts = urlsplit(url)
    try:
        host, port = parts.hostname or "", parts.port or 443
        address = resolve(host, port)
        tls = pinned_context(identity.ca_file.read_text())
        shake_hands(host, port, tls, now_utc)
        door_utc = door_time(url, tls)
    except LamplighterError as error:
        return [refused("door", error)], None
    return [ok("door", f"{url} ({address}) answers and belongs to the invited CA.")], door_utc


def check_broker(identity: Identity, status: Status | None, now_utc: datetime) -> Iterator[Finding]:
    """The broker; a running agent is asked, as a second connection would end its own."""
    enrolment = identity.enrolment
    host, port = enrolment.broker_host, enrolment.broker_port
    address = resolve(host, port)
    shake_hands(host, port, pinned_context(identity.ca_file.read_text()), now_utc)
    if status is None or not status.running:
        tls = device_context(identity.ca_file, identity.certificate_file, identity.key_file)
        log_in(host, port, enrolment.device, tls)
        yield ok("broker", f"{host}:{port} ({address}) accepts {enrolment.device}.")
    elif status.connected:
        yield ok("broker", f"The agent is connected to {host}:{port} ({address}).")
    else:
        yield fail(
            "broker",
            f"{host}:{port} ({address}) can be reached, but the agent is not connected: "
            f"{status.connection_problem}.",
            "If it says that it is refused, ask the server: 'lamplighter device show "
            f"{enrolment.device}'.",
        )
