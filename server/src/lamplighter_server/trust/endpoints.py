"""HTTP of the trust slice, for the publishing client."""

from typing import Any

from fastapi import APIRouter, Response
from pydantic import BaseModel

from lamplighter_server.edge import ContextDep, SessionDep
from lamplighter_server.people.access import Role, requires
from lamplighter_server.trust import service
from lamplighter_server.trust.online import tuf_key

router = APIRouter(prefix="/api/v1/trust", tags=["trust"])


class OnlineKeysView(BaseModel):
    """The public keys that the offline roles have to sign over to this server."""

    snapshot: dict[str, Any]
    timestamp: dict[str, Any]
    director_public_pem: list[str]
    epoch: int


class Bootstrap(BaseModel):
    """First trust: metadata files as text."""

    root: str
    targets: str
    director_keys: str


class Done(BaseModel):
    """The step is stored."""

    done: bool = True


@router.get("/online-keys")
@requires(Role.VIEWER, narrows=True)
async def get_online_keys(context: ContextDep) -> OnlineKeysView:
    """The keys that this server signs with by itself."""
    return OnlineKeysView(
        snapshot=tuf_key(context.keys.snapshot),
        timestamp=tuf_key(context.keys.timestamp),
        director_public_pem=[context.keys.director_public_pem],
        epoch=1,
    )


@router.post("/bootstrap", status_code=201)
@requires(Role.ADMIN)
async def post_bootstrap(body: Bootstrap, context: ContextDep, session: SessionDep) -> Done:
    """Establish trust once."""
    await service.bootstrap(
        context,
        session,
        root=body.root.encode(),
        targets=body.targets.encode(),
        director_keys=body.director_keys.encode(),
    )
    return Done()


@router.get("/files/{name}")
@requires(Role.VIEWER, narrows=True)
async def get_file(name: str, session: SessionDep) -> Response:
    """A metadata file exactly as it was published."""
    return Response(await service.find_file(session, name), media_type="application/json")
