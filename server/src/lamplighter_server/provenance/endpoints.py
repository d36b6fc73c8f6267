"""HTTP of the provenance slice."""

from fastapi import APIRouter, Response

from lamplighter_protocol.provenance import encode_provenance
from lamplighter_server.devices import service as devices
from lamplighter_server.edge import CallerDep, ContextDep, SessionDep
from lamplighter_server.people.access import Role, requires
from lamplighter_server.provenance import service

router = APIRouter(prefix="/api/v1/devices", tags=["devices"])


@router.get("/{device}/provenance")
@requires(Role.VIEWER, narrows=True)
async def get_provenance(
    device: str, caller: CallerDep, context: ContextDep, session: SessionDep
) -> Response:
    """The file that proves what a device runs, to be judged by whoever asks for it."""
    await devices.get(session, device, caller.scope)
    provenance = await service.collect(context, session, device)
    return Response(encode_provenance(provenance), media_type="application/json")
