"""HTTP of the devices' door: the only thing a board can ask before it has a certificate."""

import msgspec
from fastapi import APIRouter, Request, Response

from lamplighter_protocol.enrolment import EnrolmentRequest
from lamplighter_protocol.errors import LamplighterError
from lamplighter_server.devices import service
from lamplighter_server.edge import ContextDep, SessionDep

router = APIRouter(prefix="/api/v1/enrol", tags=["enrolment"])


@router.get("/ca")
async def get_ca(context: ContextDep) -> Response:
    """The authority's certificate (PEM); the device compares it with its invitation."""
    return Response(context.authority.ca_pem, media_type="application/x-pem-file")


@router.post("")
async def post_enrol(request: Request, context: ContextDep, session: SessionDep) -> Response:
    """Enrol: JSON of EnrolmentRequest in, JSON of EnrolmentReply out."""
    reply = await service.enrol(context, session, read_enrolment(await request.body()))
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
