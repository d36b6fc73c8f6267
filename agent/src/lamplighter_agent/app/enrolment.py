"""Enrols this device: from an invitation to an identity on disk, all or nothing."""

import asyncio
import random
import time
from collections.abc import Callable
from datetime import datetime, timezone
from typing import Final

from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from lamplighter_agent.app.config import DataDir
from lamplighter_agent.keys.token_key import TokenKey
from lamplighter_agent.link.enrol import Enrolled, enrol
from lamplighter_agent.observe.inventory import take_inventory
from lamplighter_agent.store.identity import Enrolment, Identity, save_identity
from lamplighter_agent.store.offered import Offered, load_or_make, make
from lamplighter_protocol import dsse
from lamplighter_protocol.enrolment import Invitation, decode_invitation, fingerprint
from lamplighter_protocol.errors import LamplighterError
from lamplighter_protocol.names import check_name

FIRST_PAUSE_S: Final = 2.0
LONGEST_PAUSE_S: Final = 60.0


def enrol_device(
    data: DataDir,
    text: str,
    *,
    name: str = "",
    replace: bool,
    key_uri: str | None = None,
    tell: Callable[[str], None],
    pause: Callable[[float], None] = time.sleep,
) -> Identity:
    """Use an invitation; with a claim, ask until a person has decided.

    The keys that are offered with a claim are kept, so that asking goes on after a restart under
    the fingerprint that somebody may be looking at.

    Args:
        data: Where the identity goes.
        text: The invitation.
        name: What a board with a claim wants to be called.
        replace: Whether an identity that is there, and keys that were refused, may be given up.
        key_uri: Where the device's own key is to be; None for a file of the identity.
        tell: Shows a line to whoever stands before the board.
        pause: Waits so many seconds.

    Raises:
        LamplighterError: INVITATION_INVALID, NAME_INVALID, DEVICE_EXISTS, DISK_FULL, or what
            link.enrol and TokenKey raise.
    """
    invitation = decode_invitation(text)
    device = _choose_name(invitation, name)
    if data.identity.exists() and not replace:
        raise LamplighterError(
            "DEVICE_EXISTS", f"{data.path} holds an identity already; --replace gives it up."
        )
    token = TokenKey.provide(key_uri) if key_uri is not None else None
    inventory = asyncio.run(take_inventory())
    if invitation.device:
        keys = make()
    else:
        if replace:
            data.offered.unlink(missing_ok=True)
        keys = load_or_make(data.offered)

    def ask() -> Enrolled:
        now_utc = datetime.now(timezone.utc)
        return enrol(invitation, device, keys.key, keys.agreement, inventory, now_utc, token)

    if invitation.device:
        enrolled = ask()
    else:
        shown = _fingerprint(device, keys, token)
        tell(f"{device} asks {invitation.url} to be let in. There, run:")
        tell(f"lamplighter device approve {device} --fingerprint {shown}")
        enrolled = _ask_on(ask, tell, pause)
    identity = save_identity(
        data.identity,
        Enrolment(
            device=device,
            fleet=invitation.fleet,
            url=invitation.url,
            broker_host=enrolled.reply.broker_host,
            broker_port=enrolled.reply.broker_port,
        ),
        key=keys.key,
        certificate_pem=enrolled.reply.certificate_pem,
        ca_pem=enrolled.ca_pem,
        root_json=enrolled.reply.root_json,
        telemetry_key=enrolled.telemetry_key,
        agreement=keys.agreement,
        token=token,
    )
    data.offered.unlink(missing_ok=True)
    return identity


def _choose_name(invitation: Invitation, name: str) -> str:
    if invitation.device is None:
        if not name:
            raise LamplighterError("NAME_INVALID", "A claim names no device: say --name NAME.")
        return check_name(name, "device")
    if name not in {"", invitation.device}:
        raise LamplighterError(
            "INVITATION_INVALID", f"The invitation is for {invitation.device}, not for {name}."
        )
    return invitation.device


def _ask_on(
    ask: Callable[[], Enrolled], tell: Callable[[str], None], pause: Callable[[float], None]
) -> Enrolled:
    """Ask until there is an answer. Once asked, a server that is away for a while is waited for."""
    pause_s, told = FIRST_PAUSE_S, ""
    while True:
        try:
            return ask()
        except LamplighterError as error:
            if not error.retryable or (not told and error.code == "SERVER_UNREACHABLE"):
                raise
            if error.code != told:
                tell(f"{error.code}: {error.sentence} It asks again by itself.")
                told = error.code
        pause(random.uniform(pause_s / 2, pause_s))  # noqa: S311 - spreads the asking
        pause_s = min(2 * pause_s, LONGEST_PAUSE_S)


def _fingerprint(device: str, keys: Offered, token: TokenKey | None) -> str:
    publics = [_der(keys.key.public_key()), keys.agreement.public_key().public_bytes_raw()]
    return fingerprint(device, *publics, *([_der(token.public)] if token else []))


def _der(key: dsse.PublicKey) -> bytes:
    return key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
