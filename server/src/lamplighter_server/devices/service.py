"""Devices: invited, enrolled, and what they report of themselves."""

import hashlib
import hmac
import secrets
from collections.abc import Collection, Mapping, Sequence
from datetime import datetime, timedelta

import msgspec
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from sqlalchemy import select, update
from sqlalchemy.ext.asyncio import AsyncSession

from lamplighter_protocol import dsse, enrolment
from lamplighter_protocol.assignment import ENCRYPTED
from lamplighter_protocol.canonical import sha256
from lamplighter_protocol.errors import LamplighterError
from lamplighter_protocol.names import check_name
from lamplighter_protocol.reported import Inventory, Reported, accept_reported
from lamplighter_protocol.telemetry import OFFLINE, ONLINE
from lamplighter_server.blobs import service as blobs
from lamplighter_server.context import Context
from lamplighter_server.devices import certificates
from lamplighter_server.devices.models import Device, Invitation
from lamplighter_server.devices.own_key import own_key
from lamplighter_server.people.access import FLEET, Scope, covers
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
    _check_labels(labels)
    known = await find(session, device)
    if known is not None and known.revoked_utc is None and not replace:
        raise LamplighterError("DEVICE_EXISTS", f"A device {device!r} is enrolled.")
    settings, now_utc = context.settings, context.clock()
    token = secrets.token_urlsafe(32)
    expires_utc = now_utc + timedelta(seconds=settings.invitation_lifetime_s)
    invitation = enrolment.Invitation(
        url=f"https://{settings.public_host}:{settings.device_port}",
        device=device,
        fleet=settings.fleet,
        token=token,
        ca_sha256=context.authority.ca_sha256,
        root_sha256=sha256(await trust.load_root(session)),
    )
    session.add(
        Invitation(
            token_sha256=_digest(token),
            device=device,
            labels=dict(labels),
            created_utc=now_utc,
            expires_utc=expires_utc,
        )
    )
    return enrolment.encode_invitation(invitation), expires_utc


async def enrol(
    context: Context, session: AsyncSession, request: enrolment.EnrolmentRequest
) -> enrolment.EnrolmentReply:
    """Turn an invitation into a certificate; a device that enrols again starts afresh.

    The token is consumed in the same transaction: a refused request leaves it valid. A board that
    takes over a name keeps its labels unless the invitation says others.

    Raises:
        LamplighterError: INVITATION_INVALID, INVITATION_USED, MESSAGE_MALFORMED, NAME_INVALID,
            SIGNATURE_INVALID if its own key did not sign for the key of its signing request, or
            DEVICE_EXISTS if another board has taken the name since it was given away.
    """
    now_utc = context.clock()
    invitation = await _consume(session, request, now_utc)
    known = await find(session, request.device)
    if known is not None and known.enrolled_utc > invitation.created_utc:
        raise LamplighterError(
            "DEVICE_EXISTS", f"Another board has enrolled as {request.device!r} since then."
        )
    certified = read_request(request.csr_pem, request.device)
    public = own_key(request, certified, context.settings.fleet)
    lifetime = timedelta(seconds=context.settings.certificate_lifetime_s)
    certificate = context.authority.issue_device(
        request.device, certified, now_utc, lifetime, device_key=public
    )
    pem = certificates.pem(certificate)
    agreement = X25519PrivateKey.generate()
    try:
        telemetry_key = enrolment.telemetry_key(agreement, request.agreement_public, request.device)
    except ValueError as error:
        raise LamplighterError(
            "MESSAGE_MALFORMED", f"The agreement key cannot be used: {error}."
        ) from error
    await session.merge(
        Device(
            id=request.device,
            labels=invitation.labels or (known.labels if known is not None else {}),
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
    return enrolment.EnrolmentReply(
        certificate_pem=pem,
        root_json=await trust.load_root(session),
        agreement_public=agreement.public_key().public_bytes_raw(),
        broker_host=context.settings.public_host,
        broker_port=context.settings.broker_port,
    )


async def accept_report(
    context: Context, session: AsyncSession, device: Device, raw: bytes
) -> Reported:
    """Store a device's signed state, with the envelope as proof, and serve the blobs it wants.

    Raises:
        LamplighterError: MESSAGE_TOO_LARGE, MESSAGE_MALFORMED, SIGNATURE_INVALID or REPORT_STALE.
    """
    report = accept_reported(
        raw,
        device=device.id,
        fleet=context.settings.fleet,
        key=dsse.load_public(device.public_key_pem),
        last_counter=device.report_counter,
    )
    device.boot, device.report_counter = report.boot, report.counter
    device.report_envelope, device.report = raw, msgspec.to_builtins(report)
    device.inventory = msgspec.to_builtins(report.inventory)
    known = await blobs.known(context, session, report.wants)
    await blobs.want(session, known, f"device:{device.id}", context.clock())
    return report


def relabel(device: Device, changed: Mapping[str, str], removed: Collection[str]) -> None:
    """Change a device's labels; removing one that it does not have changes nothing.

    Raises:
        LamplighterError: NAME_INVALID.
    """
    _check_labels(changed)
    kept = {name: value for name, value in device.labels.items() if name not in removed}
    device.labels = {**kept, **changed}


def _check_labels(labels: Mapping[str, str]) -> None:
    for label in labels.items():
        for part in label:
            check_name(part, "label")


def set_presence(device: Device, raw: bytes) -> None:
    """Store whether the device is connected.

    Raises:
        LamplighterError: MESSAGE_MALFORMED.
    """
    if raw not in {ONLINE, OFFLINE}:
        raise LamplighterError("MESSAGE_MALFORMED", f"{device.id} sent an unknown presence.")
    device.online = raw == ONLINE


async def ls(session: AsyncSession, scope: Scope = FLEET) -> Sequence[Device]:
    """Every enrolled device inside the scope, by id."""
    rows = (await session.scalars(select(Device).order_by(Device.id))).all()
    return [device for device in rows if covers(scope, device.labels)]


async def get_all(session: AsyncSession, ids: Collection[str]) -> dict[str, Device]:
    """Several devices by id.

    Raises:
        LamplighterError: DEVICE_UNKNOWN.
    """
    rows = await session.scalars(select(Device).where(Device.id.in_(ids)))
    found = {device.id: device for device in rows}
    if unknown := sorted(set(ids) - found.keys()):
        raise LamplighterError("DEVICE_UNKNOWN", f"No device {unknown[0]!r} is enrolled.")
    return found


async def find(session: AsyncSession, device: str) -> Device | None:
    """One device, if it is enrolled."""
    return await session.get(Device, device)


async def get(session: AsyncSession, device: str, scope: Scope = FLEET) -> Device:
    """One device.

    Raises:
        LamplighterError: DEVICE_UNKNOWN, also outside the scope.
    """
    found = await find(session, device)
    if found is None or not covers(scope, found.labels):
        raise LamplighterError("DEVICE_UNKNOWN", f"No device {device!r} is enrolled.")
    return found


def read_report(device: Device) -> Reported | None:
    """The newest signed state of a device, decoded."""
    return msgspec.convert(device.report, Reported) if device.report is not None else None


def read_inventory(device: Device) -> Inventory:
    """What the board is."""
    return msgspec.convert(device.inventory, Inventory)


def _kept_key(request: enrolment.EnrolmentRequest) -> bytes | None:
    """Agents that cannot open sealed files do not keep the key either."""
    return request.agreement_public if ENCRYPTED in request.inventory.transfers else None


async def _consume(
    session: AsyncSession, request: enrolment.EnrolmentRequest, now_utc: datetime
) -> Invitation:
    """Find and use up the invitation; of two requests at once, one wins."""
    digest = _digest(request.token)
    invitation = await session.get(Invitation, digest)
    if (
        invitation is None
        or not hmac.compare_digest(invitation.token_sha256, digest)
        or invitation.device != request.device
        or invitation.expires_utc <= now_utc
    ):
        raise LamplighterError(
            "INVITATION_INVALID", f"The token is unknown, expired or not for {request.device!r}."
        )
    used = await session.execute(
        update(Invitation)
        .where(Invitation.token_sha256 == digest, Invitation.used_utc.is_(None))
        .values(used_utc=now_utc)
        .returning(Invitation.token_sha256)
    )
    if used.first() is None:
        raise LamplighterError(
            "INVITATION_USED", f"The invitation of {request.device} was used {invitation.used_utc}."
        )
    return invitation


def _digest(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()
