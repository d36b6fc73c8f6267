"""HTTP of the trust slice, for the publishing client."""

from typing import Annotated, Any

from fastapi import APIRouter, Response
from pydantic import BaseModel, Field
from securesystemslib.signer import CryptoSigner

from lamplighter_protocol import dsse
from lamplighter_server.edge import ContextDep, SessionDep
from lamplighter_server.people.access import Role, requires
from lamplighter_server.trust import service
from lamplighter_server.trust.online import OnlineRole, tuf_key

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


class Step(BaseModel):
    """The next version of one or more offline roles: metadata files as text, by role."""

    roles: Annotated[dict[str, str], Field(min_length=1, max_length=256)]
    director_keys: str | None = None


class NextKeyView(BaseModel):
    """A key that this server will sign with as soon as offline keys have named it."""

    tuf_key: dict[str, Any]
    public_pem: str


class Done(BaseModel):
    """The step is stored."""

    done: bool = True


@router.get("/online-keys")
@requires(Role.VIEWER, narrows=True)
async def get_online_keys(context: ContextDep) -> OnlineKeysView:
    """The keys that a new server signs with by itself."""
    return OnlineKeysView(
        snapshot=tuf_key(context.keys.snapshot.public_key),
        timestamp=tuf_key(context.keys.timestamp.public_key),
        director_public_pem=[context.keys.director_public_pem],
        epoch=1,
    )


@router.post("/online-keys/{role}/next", status_code=201)
@requires(Role.ADMIN)
async def post_next_key(role: OnlineRole, context: ContextDep, session: SessionDep) -> NextKeyView:
    """Make the next key of an online role; the same one until it is in force."""
    key = await service.propose_key(context, session, role)
    return NextKeyView(
        tuf_key=tuf_key(CryptoSigner(key).public_key), public_pem=dsse.public_pem(key.public_key())
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


@router.post("/roles")
@requires(Role.OPERATOR)
async def post_roles(body: Step, context: ContextDep, session: SessionDep) -> Done:
    """Take the next version of offline roles; with new director keys every assignment is due."""
    await service.accept_roles(
        context,
        session,
        {role: text.encode() for role, text in body.roles.items()},
        {},
        director_keys=body.director_keys.encode() if body.director_keys is not None else None,
    )
    return Done()


@router.get("/files/{name}")
@requires(Role.VIEWER, narrows=True)
async def get_file(name: str, session: SessionDep) -> Response:
    """A metadata file exactly as it was published."""
    return Response(await service.find_file(session, name), media_type="application/json")
