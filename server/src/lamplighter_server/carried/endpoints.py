"""HTTP of what is carried."""

from collections.abc import Iterator
from typing import IO

from fastapi import APIRouter
from fastapi.responses import StreamingResponse

from lamplighter_server.carried import service
from lamplighter_server.devices import service as devices
from lamplighter_server.edge import CallerDep, ContextDep, SessionDep
from lamplighter_server.people.access import Role, requires

router = APIRouter(prefix="/api/v1/devices", tags=["devices"])
_PART_BYTES = 256 * 1024


@router.get("/{device}/carried")
@requires(Role.OPERATOR, narrows=True)
async def get_carried(
    device: str, caller: CallerDep, context: ContextDep, session: SessionDep
) -> StreamingResponse:
    """The file for `lamplighter-agent apply` on this device."""
    await devices.get(session, device, caller.scope)
    packed = await service.pack(context, session, device)
    return StreamingResponse(_parts(packed), media_type="application/zip")


def _parts(packed: IO[bytes]) -> Iterator[bytes]:
    with packed:
        while part := packed.read(_PART_BYTES):
            yield part
