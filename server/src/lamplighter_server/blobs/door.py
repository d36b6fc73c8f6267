"""HTTP of the devices' door: files of what a device is assigned, whole or in ranges."""

from typing import Annotated

from fastapi import APIRouter, Path, Request, Response
from fastapi.responses import StreamingResponse

from lamplighter_protocol.blobs import DOOR_PATH
from lamplighter_protocol.errors import LamplighterError
from lamplighter_protocol.names import SHA256_PATTERN
from lamplighter_server.assignments.entitled import may_fetch
from lamplighter_server.blobs import service
from lamplighter_server.blobs.ranges import read_range
from lamplighter_server.devices.peer import identify
from lamplighter_server.edge import ContextDep, SessionDep

router = APIRouter(tags=["files"])


@router.get(DOOR_PATH + "{sha256}")
async def get_blob(
    sha256: Annotated[str, Path(pattern=SHA256_PATTERN)],
    request: Request,
    context: ContextDep,
    session: SessionDep,
) -> Response:
    """What travels under a digest, to a device with its certificate: 200, 206 or 304."""
    device = await identify(request, session)
    form = None
    if await may_fetch(context, session, device.id, sha256) and await service.is_open(
        session, sha256
    ):
        form = await service.find_form(context, session, sha256)
    if form is None:
        raise LamplighterError("NOT_FOUND", f"No file {sha256[:12]} is assigned to {device.id}.")
    etag, size_bytes = f'"{sha256}"', form.size_bytes
    headers = {"ETag": etag, "Accept-Ranges": "bytes", "Cache-Control": "private, immutable"}
    if request.headers.get("if-none-match") == etag:
        return Response(status_code=304, headers=headers)
    same = request.headers.get("if-range", etag) == etag
    asked = read_range(request.headers.get("range") if same else None, size_bytes)
    span = range(size_bytes) if asked is None else asked
    headers["Content-Length"] = str(len(span))
    if asked is not None:
        headers["Content-Range"] = f"bytes {span.start}-{span.stop - 1}/{size_bytes}"
    return StreamingResponse(
        form.read(span),
        status_code=200 if asked is None else 206,
        headers=headers,
        media_type="application/octet-stream",
    )
