"""Enrols this device: from an invitation to an identity on disk, all or nothing."""

import asyncio
from datetime import datetime, timezone

from lamplighter_agent.app.config import DataDir
from lamplighter_agent.keys.token_key import TokenKey
from lamplighter_agent.link.enrol import enrol
from lamplighter_agent.observe.inventory import take_inventory
from lamplighter_agent.store.identity import Enrolment, Identity, new_key, save_identity
from lamplighter_protocol.enrolment import decode_invitation
from lamplighter_protocol.errors import LamplighterError


def enrol_device(
    data: DataDir, text: str, *, replace: bool, key_uri: str | None = None
) -> Identity:
    """Use an invitation.

    Args:
        data: Where the identity goes.
        text: The invitation.
        replace: Whether an identity that is there may be given up.
        key_uri: Where the device's own key is to be; None for a file of the identity.

    Raises:
        LamplighterError: INVITATION_INVALID, DEVICE_EXISTS, DISK_FULL, or what link.enrol and
            TokenKey raise.
    """
    invitation = decode_invitation(text)
    if data.identity.exists() and not replace:
        raise LamplighterError(
            "DEVICE_EXISTS", f"{data.path} holds an identity already; --replace gives it up."
        )
    token = TokenKey.provide(key_uri) if key_uri is not None else None
    key = new_key()
    inventory = asyncio.run(take_inventory())
    enrolled = enrol(invitation, key, inventory, datetime.now(timezone.utc), token)
    return save_identity(
        data.identity,
        Enrolment(
            device=invitation.device,
            fleet=invitation.fleet,
            url=invitation.url,
            broker_host=enrolled.reply.broker_host,
            broker_port=enrolled.reply.broker_port,
        ),
        key=key,
        certificate_pem=enrolled.reply.certificate_pem,
        ca_pem=enrolled.ca_pem,
        root_json=enrolled.reply.root_json,
        telemetry_key=enrolled.telemetry_key,
        agreement=enrolled.agreement,
        token=token,
    )
