"""HTTP of the blobs slice: the publishing client puts files here before it announces them."""

from typing import Annotated

from fastapi import APIRouter, Path, Request, Response

from lamplighter_protocol.names import SHA256_PATTERN
from lamplighter_server.edge import ContextDep
from lamplighter_server.people.access import Role, requires

router = APIRouter(prefix="/api/v1/blobs", tags=["blobs"])


@router.put("/{sha256}", status_code=201)
@requires(Role.OPERATOR)
async def put_blob(
    sha256: Annotated[str, Path(pattern=SHA256_PATTERN)], request: Request, context: ContextDep
) -> Response:
    """Store a file under its digest: 201 if it is new, 200 if it was there."""
    new = await context.objects.put(sha256, request.stream())
    return Response(status_code=201 if new else 200)
