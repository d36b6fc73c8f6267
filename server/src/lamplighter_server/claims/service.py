"""Claims and those who ask with them."""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Final

from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from sqlalchemy import delete, func, or_, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from lamplighter_protocol import dsse
from lamplighter_protocol.enrolment import EnrolmentReply, EnrolmentRequest, fingerprint
from lamplighter_protocol.errors import LamplighterError
from lamplighter_protocol.reported import Inventory
from lamplighter_server.claims.models import Claim, PendingDevice
from lamplighter_server.context import Context
from lamplighter_server.devices import enrolment
from lamplighter_server.devices import service as devices
from lamplighter_server.devices.models import Device
from lamplighter_server.devices.own_key import own_key
from lamplighter_server.people.access import FLEET, Scope, covers
from lamplighter_server.pki.certificates import read_request

MAX_PENDING: Final = 1_000
KEPT: Final = timedelta(days=7)
"""So long a request waits for a person, and a decision for its board."""
_MAX_BOARD_CHARS: Final = 100


async def make(
    context: Context, session: AsyncSession, labels: Mapping[str, str], lifetime: timedelta
) -> tuple[str, datetime]:
    """Make a claim.

    Returns:
        The text for every board, and when it expires.

    Raises:
        LamplighterError: NAME_INVALID or TRUST_MISSING.
    """
    devices.check_labels(labels)
    now_utc = context.clock()
    token, text = await enrolment.word(context, session, None)
    session.add(
        Claim(
            token_sha256=enrolment.digest(token),
            labels=dict(labels),
            created_utc=now_utc,
            expires_utc=now_utc + lifetime,
        )
    )
    return text, now_utc + lifetime


async def withdraw(context: Context, session: AsyncSession, scope: Scope) -> int:
    """End every open claim inside the scope, and forget who asked with one and still waits.

    Returns:
        How many claims were open.
    """
    now_utc = context.clock()
    rows = await session.scalars(select(Claim).where(Claim.expires_utc > now_utc))
    ended = [claim.token_sha256 for claim in rows if covers(scope, claim.labels)]
    await session.execute(
        update(Claim).where(Claim.token_sha256.in_(ended)).values(expires_utc=now_utc)
    )
    await session.execute(
        delete(PendingDevice).where(
            PendingDevice.claim.in_(ended), PendingDevice.approved.is_(None)
        )
    )
    return len(ended)


async def ask(
    context: Context, session: AsyncSession, request: EnrolmentRequest, address: str
) -> EnrolmentReply | None:
    """Answer a board that asks, however often: None while nobody has decided.

    Raises:
        LamplighterError: INVITATION_INVALID, MESSAGE_MALFORMED, NAME_INVALID, ENROLMENT_FULL,
            SIGNATURE_INVALID, DEVICE_REJECTED, or INVITATION_USED if the approval holds no longer.
    """
    now_utc = context.clock()
    claim = await session.get(Claim, enrolment.digest(request.token))
    if claim is None:
        raise LamplighterError("INVITATION_INVALID", "The claim is unknown.")
    certified = read_request(request.csr_pem, request.device)
    public = own_key(request, certified, context.settings.fleet)
    publics = [_der(certified), request.agreement_public]
    key = fingerprint(request.device, *publics, *([_der(public)] if public != certified else []))
    await _forget_old(session, now_utc)
    row = await session.get(PendingDevice, key)
    if row is None:
        await _take_in(session, claim, request, key, address, now_utc)
        return None
    if row.approved is None or row.decided_utc is None:
        return None
    if not row.approved:
        raise LamplighterError("DEVICE_REJECTED", f"{request.device} was not let in.")
    known = await devices.find(session, request.device)
    if known is not None and not still_holds(row.decided_utc, known, dsse.public_pem(public)):
        raise LamplighterError(
            "INVITATION_USED", f"{request.device} was enrolled or revoked since it was approved."
        )
    return await enrolment.admit(context, session, request, row.labels)


def still_holds(decided_utc: datetime, known: Device, public_pem: str) -> bool:
    """Whether an approval is good for a name that is known.

    A board whose answer got lost gets another one, until it has connected.
    """
    if known.revoked_utc is not None and known.revoked_utc >= decided_utc:
        return False
    own = known.public_key_pem == public_pem and known.report is None
    return own or known.enrolled_utc < decided_utc


async def pending(
    session: AsyncSession, now_utc: datetime, scope: Scope = FLEET
) -> Sequence[PendingDevice]:
    """Who waits for a decision, the first to ask first."""
    query = select(PendingDevice).where(
        PendingDevice.approved.is_(None), PendingDevice.asked_utc > now_utc - KEPT
    )
    rows = await session.scalars(query.order_by(PendingDevice.asked_utc, PendingDevice.device))
    return [row for row in rows if covers(scope, row.labels)]


async def get(
    session: AsyncSession, key: str, now_utc: datetime, scope: Scope = FLEET
) -> PendingDevice:
    """One that waits for a decision.

    Raises:
        LamplighterError: ENROLMENT_UNKNOWN.
    """
    row = await session.get(PendingDevice, key)
    waits = row is not None and row.approved is None and row.asked_utc > now_utc - KEPT
    if row is None or not waits or not covers(scope, row.labels):
        raise LamplighterError("ENROLMENT_UNKNOWN", f"Nobody with fingerprint {key} waits.")
    return row


async def approve(
    session: AsyncSession,
    row: PendingDevice,
    labels: Mapping[str, str],
    now_utc: datetime,
    *,
    replace: bool,
) -> None:
    """Let a board in; it gets its certificate when it asks next.

    Raises:
        LamplighterError: NAME_INVALID or DEVICE_EXISTS.
    """
    devices.check_labels(labels)
    await enrolment.check_free(session, row.device, replace=replace)
    row.labels = {**row.labels, **labels}
    row.decided_utc, row.approved, row.replaces = now_utc, True, replace


def reject(row: PendingDevice, now_utc: datetime) -> None:
    """Refuse a board; it hears so when it asks next."""
    row.decided_utc, row.approved = now_utc, False


async def _take_in(
    session: AsyncSession,
    claim: Claim,
    request: EnrolmentRequest,
    key: str,
    address: str,
    now_utc: datetime,
) -> None:
    if claim.expires_utc <= now_utc:
        raise LamplighterError("INVITATION_INVALID", f"The claim expired {claim.expires_utc}.")
    enrolment.agree(request)  # before anybody is asked to decide on keys that cannot be used
    waiting = select(func.count()).where(PendingDevice.approved.is_(None))
    if (await session.scalar(waiting) or 0) >= MAX_PENDING:
        raise LamplighterError("ENROLMENT_FULL", f"{MAX_PENDING} boards wait to be let in.")
    session.add(
        PendingDevice(
            fingerprint=key,
            claim=claim.token_sha256,
            device=request.device,
            labels=claim.labels,
            board=_describe(request.inventory),
            address=address,
            asked_utc=now_utc,
        )
    )


async def _forget_old(session: AsyncSession, now_utc: datetime) -> None:
    oldest = now_utc - KEPT
    await session.execute(
        delete(PendingDevice).where(
            or_(
                PendingDevice.decided_utc <= oldest,
                PendingDevice.decided_utc.is_(None) & (PendingDevice.asked_utc <= oldest),
            )
        )
    )


def _der(key: dsse.PublicKey) -> bytes:
    return key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def _describe(inventory: Inventory) -> str:
    text = f"{inventory.machine}, {inventory.ram_mb} MB, {inventory.system}"
    return "".join(sign if sign.isprintable() else "?" for sign in text)[:_MAX_BOARD_CHARS]
