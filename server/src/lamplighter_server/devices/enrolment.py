"""Lets boards in: an invitation becomes a certificate."""

import hashlib
import hmac
import secrets
from collections.abc import Mapping
from datetime import datetime, timedelta

import msgspec
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from sqlalchemy import update
from sqlalchemy.ext.asyncio import AsyncSession

from lamplighter_protocol import dsse, enrolment
from lamplighter_protocol.assignment import ENCRYPTED
from lamplighter_protocol.canonical import sha256
from lamplighter_protocol.errors import LamplighterError
from lamplighter_protocol.names import check_name
from lamplighter_server.assignments import service as assignments
from lamplighter_server.context import Context
from lamplighter_server.devices import certificates, clones, service
from lamplighter_server.devices.models import Device, Invitation
from lamplighter_server.devices.own_key import own_key
from lamplighter_server.pki.certificates import read_request
from lamplighter_server.trust import service as trust


async def invite(
    context: Context,
    session: AsyncSession,
    device: str,
    labels: Mapping[str, str],
    *,
    replace: bool = False,
) -> tuple[str, datetime]:
    """Make a one-time invitation; with `replace` for a name that is in use.

    The board that has the name now goes on until another enrols with the invitation. A revoked
    one holds its name no longer.

    Returns:
        The text to carry to the device, and when it expires.

    Raises:
        LamplighterError: NAME_INVALID, DEVICE_EXISTS, or TRUST_MISSING before the offline keys are
            made.
    """
    check_name(device, "device")
    service.check_labels(labels)
    await check_free(session, device, replace=replace)
    now_utc = context.clock()
    expires_utc = now_utc + timedelta(seconds=context.settings.invitation_lifetime_s)
    token, text = await word(context, session, device)
    session.add(
        Invitation(
            token_sha256=digest(token),
            device=device,
            labels=dict(labels),
            created_utc=now_utc,
            expires_utc=expires_utc,
        )
    )
    return text, expires_utc


async def check_free(session: AsyncSession, device: str, *, replace: bool) -> None:
    """Refuse a name that is in use, unless its board is to be replaced.

    Raises:
        LamplighterError: DEVICE_EXISTS.
    """
    known = await service.find(session, device)
    if known is not None and known.revoked_utc is None and not replace:
        raise LamplighterError("DEVICE_EXISTS", f"A device {device!r} is enrolled.")


async def word(context: Context, session: AsyncSession, device: str | None) -> tuple[str, str]:
    """A new token, and the text that carries it to a board; without a name, to any board.

    Raises:
        LamplighterError: TRUST_MISSING.
    """
    settings, token = context.settings, secrets.token_urlsafe(32)
    invitation = enrolment.Invitation(
        url=f"https://{settings.public_host}:{settings.device_port}",
        device=device,
        fleet=settings.fleet,
        token=token,
        ca_sha256=context.authority.ca_sha256,
        root_sha256=sha256(await trust.load_root(session)),
    )
    return token, enrolment.encode_invitation(invitation)


def read_enrolment(raw: bytes) -> enrolment.EnrolmentRequest:
    """Read what a device without a certificate sends.

    Raises:
        LamplighterError: MESSAGE_MALFORMED.
    """
    try:
        return msgspec.json.decode(raw, type=enrolment.EnrolmentRequest)
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        raise LamplighterError(
            "MESSAGE_MALFORMED", f"The enrolment request is malformed: {error}."
        ) from error


async def enrol(
    context: Context, session: AsyncSession, request: enrolment.EnrolmentRequest
) -> enrolment.EnrolmentReply:
    """Turn an invitation into a certificate; a device that enrols again starts afresh.

    The token is consumed in the same transaction: a refused request leaves it valid. A board that
    takes over a name keeps its labels unless the invitation says others.

    Raises:
        LamplighterError: INVITATION_INVALID, INVITATION_USED, what `admit` raises, or
            DEVICE_EXISTS if another board has taken the name since it was given away.
    """
    invitation = await _consume(session, request, context.clock())
    known = await service.find(session, request.device)
    if known is not None and known.enrolled_utc > invitation.created_utc:
        raise LamplighterError(
            "DEVICE_EXISTS", f"Another board has enrolled as {request.device!r} since then."
        )
    return await admit(context, session, request, invitation.labels)


async def admit(
    context: Context,
    session: AsyncSession,
    request: enrolment.EnrolmentRequest,
    labels: Mapping[str, str],
) -> enrolment.EnrolmentReply:
    """Give a board a certificate and its name; who may have them is decided.

    Raises:
        LamplighterError: MESSAGE_MALFORMED, NAME_INVALID, or SIGNATURE_INVALID if its own key did
            not sign for the key of its signing request.
    """
    now_utc = context.clock()
    known = await service.find(session, request.device)
    certified = read_request(request.csr_pem, request.device)
    public = own_key(request, certified, context.settings.fleet)
    lifetime = timedelta(seconds=context.settings.certificate_lifetime_s)
    certificate = context.authority.issue_device(
        request.device, certified, now_utc, lifetime, device_key=public
    )
    pem = certificates.pem(certificate)
    agreement_public, telemetry_key = agree(request)
    await session.merge(
        Device(
            id=request.device,
            labels=dict(labels) or (known.labels if known is not None else {}),
            inventory=msgspec.to_builtins(request.inventory),
            public_key_pem=dsse.public_pem(public),
            certificate_serial=certificates.serial(certificate),
            certificate_pem=pem,
            telemetry_key=telemetry_key,
            agreement_public=_kept_key(request),
            enrolled_utc=now_utc,
            online=False,
            last_seen_utc=None,
            boot=None,
            report_counter=0,
            report_envelope=None,
            report=None,
            revoked_utc=None,
            revoked_reason=None,
            cut_off_utc=None,
            retired_utc=None,
        )
    )
    await certificates.revoke_all(session, request.device, now_utc)
    certificates.record(session, request.device, certificate)
    await clones.settle(session, request.device, now_utc)
    await assignments.welcome(context, session, request.device)
    return enrolment.EnrolmentReply(
        certificate_pem=pem,
        root_json=await trust.load_root(session),
        agreement_public=agreement_public,
        broker_host=context.settings.public_host,
        broker_port=context.settings.broker_port,
    )


def agree(request: enrolment.EnrolmentRequest) -> tuple[bytes, bytes]:
    """A new public key of ours (X25519), and the key for telemetry that it gives with the board's.

    Raises:
        LamplighterError: MESSAGE_MALFORMED.
    """
    private = X25519PrivateKey.generate()
    try:
        key = enrolment.telemetry_key(private, request.agreement_public, request.device)
    except ValueError as error:
        raise LamplighterError(
            "MESSAGE_MALFORMED", f"The agreement key cannot be used: {error}."
        ) from error
    return private.public_key().public_bytes_raw(), key


def _kept_key(request: enrolment.EnrolmentRequest) -> bytes | None:
    """Agents that cannot open sealed files do not keep the key either."""
    return request.agreement_public if ENCRYPTED in request.inventory.transfers else None


async def _consume(
    session: AsyncSession, request: enrolment.EnrolmentRequest, now_utc: datetime
) -> Invitation:
    """Find and use up the invitation; of two requests at once, one wins."""
    token_sha256 = digest(request.token)
    invitation = await session.get(Invitation, token_sha256)
    if (
        invitation is None
        or not hmac.compare_digest(invitation.token_sha256, token_sha256)
        or invitation.device != request.device
        or invitation.expires_utc <= now_utc
    ):
        raise LamplighterError(
            "INVITATION_INVALID", f"The token is unknown, expired or not for {request.device!r}."
        )
    used = await session.execute(
        update(Invitation)
        .where(Invitation.token_sha256 == token_sha256, Invitation.used_utc.is_(None))
        .values(used_utc=now_utc)
        .returning(Invitation.token_sha256)
    )
    if used.first() is None:
        raise LamplighterError(
            "INVITATION_USED", f"The invitation of {request.device} was used {invitation.used_utc}."
        )
    return invitation


def digest(token: str) -> str:
    """Under what a token is stored."""
    return hashlib.sha256(token.encode()).hexdigest()
