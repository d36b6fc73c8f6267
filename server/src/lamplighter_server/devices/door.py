"""HTTP of the devices' door: what a board can ask without a certificate that is valid."""

import msgspec
from fastapi import APIRouter, Request, Response

from lamplighter_protocol.enrolment import EnrolmentRequest
from lamplighter_protocol.errors import LamplighterError
from lamplighter_protocol.renewal import claimed_device
from lamplighter_server.actor import Actor
from lamplighter_server.assignments import service as assignments
from lamplighter_server.database import ACTOR
from lamplighter_server.devices import clones, renewal, service
from lamplighter_server.edge import ContextDep, SessionDep

router = APIRouter(prefix="/api/v1/enrol", tags=["enrolment"])


@router.get("/ca")
async def get_ca(context: ContextDep) -> Response:
    """The authority's certificate (PEM); the device compares it with its invitation."""
    return Response(context.authority.ca_pem, media_type="application/x-pem-file")


@router.post("")
async def post_enrol(request: Request, context: ContextDep, session: SessionDep) -> Response:
    """Enrol: JSON of EnrolmentRequest in, JSON of EnrolmentReply out."""
    body = read_enrolment(await request.body())
    reply = await service.enrol(context, session, body)
    await clones.settle(session, body.device, context.clock())
    await assignments.welcome(context, session, body.device)
    return Response(msgspec.json.encode(reply), media_type="application/json")


def read_enrolment(raw: bytes) -> EnrolmentRequest:
    """Read what a device without a certificate sends.

    Raises:
        LamplighterError: MESSAGE_MALFORMED.
    """
    try:
        return msgspec.json.decode(raw, type=EnrolmentRequest)
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        raise LamplighterError(
            "MESSAGE_MALFORMED", f"The enrolment request is malformed: {error}."
        ) from error


@router.post("/renew")
async def post_renew(request: Request, context: ContextDep, session: SessionDep) -> Response:
    """Renew: a signed RenewalRequest in, JSON of RenewalReply out; there is no deadline."""
    raw = await request.body()
    device = await service.get(session, claimed_device(raw))
    session.info[ACTOR] = Actor("device", device.id)
    reply = await renewal.renew(context, session, device, raw)
    return Response(msgspec.json.encode(reply), media_type="application/json")
