"""HTTP of the devices' door: what a board can ask without a certificate that is valid."""

import time
from collections.abc import AsyncIterator

import msgspec
from fastapi import APIRouter, Request, Response

from lamplighter_protocol.errors import LamplighterError
from lamplighter_protocol.renewal import claimed_device
from lamplighter_server.actor import Actor
from lamplighter_server.addresses import address_of, network_of
from lamplighter_server.database import ACTOR
from lamplighter_server.devices import enrolment, renewal, service
from lamplighter_server.devices.refusals import Refusals
from lamplighter_server.edge import ContextDep, SessionDep
from lamplighter_server.pki.shown import shown_certificate

router = APIRouter(prefix="/api/v1/enrol", tags=["enrolment"])


async def slow_down(request: Request) -> AsyncIterator[None]:
    """Count who is refused, and refuse at once who was refused too often.

    Raises:
        LamplighterError: ENROLMENT_THROTTLED.
    """
    refusals: Refusals = request.app.state.refusals
    caller = _caller(request)
    refusals.check(caller, time.monotonic())
    try:
        yield
    except LamplighterError as error:
        if not error.retryable:
            refusals.count(caller, time.monotonic())
        raise


def _caller(request: Request) -> str:
    """By whom refusals are counted: a board with a certificate answers for no other of its site."""
    certificate = shown_certificate(request.scope)
    return f"{certificate.serial_number:x}" if certificate else network_of(address_of(request))


@router.get("/ca")
async def get_ca(context: ContextDep) -> Response:
    """The authority's certificate (PEM); the device compares it with its invitation."""
    return Response(context.authority.ca_pem, media_type="application/x-pem-file")


@router.post("")
async def post_enrol(request: Request, context: ContextDep, session: SessionDep) -> Response:
    """Enrol: JSON of EnrolmentRequest in, JSON of EnrolmentReply out."""
    body = enrolment.read_enrolment(await request.body())
    reply = await enrolment.enrol(context, session, body)
    return Response(msgspec.json.encode(reply), media_type="application/json")


@router.post("/renew")
async def post_renew(request: Request, context: ContextDep, session: SessionDep) -> Response:
    """Renew: a signed RenewalRequest in, JSON of RenewalReply out; there is no deadline."""
    raw = await request.body()
    device = await service.get(session, claimed_device(raw))
    session.info[ACTOR] = Actor("device", device.id)
    reply = await renewal.renew(context, session, device, raw)
    return Response(msgspec.json.encode(reply), media_type="application/json")
