"""HTTP of the devices' door: how a board asks to be let in."""

import msgspec
from fastapi import APIRouter, Request, Response

from lamplighter_protocol.errors import LamplighterError
from lamplighter_server.addresses import address_of
from lamplighter_server.claims import service
from lamplighter_server.devices.enrolment import read_enrolment
from lamplighter_server.edge import ContextDep, SessionDep
from lamplighter_server.errors import answer

router = APIRouter(prefix="/api/v1/enrol/claim", tags=["enrolment"])


@router.post("")
async def post_claim(request: Request, context: ContextDep, session: SessionDep) -> Response:
    """Ask: JSON of EnrolmentRequest in; ENROLMENT_PENDING, or JSON of EnrolmentReply out."""
    body = read_enrolment(await request.body())
    reply = await service.ask(context, session, body, address_of(request))
    if reply is None:  # answered, not raised: that it asked is stored
        sentence = f"{body.device} waits until somebody lets it in."
        return answer(LamplighterError("ENROLMENT_PENDING", sentence))
    return Response(msgspec.json.encode(reply), media_type="application/json")
