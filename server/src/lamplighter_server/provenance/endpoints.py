"""HTTP of the provenance slice."""

from typing import Annotated

from fastapi import APIRouter, Path, Response
from pydantic import BaseModel, Field

from lamplighter_protocol.names import SHA256_PATTERN
from lamplighter_protocol.provenance import encode_provenance
from lamplighter_server.audit import service as audit
from lamplighter_server.devices import service as devices
from lamplighter_server.edge import CallerDep, ContextDep, SessionDep
from lamplighter_server.people.access import Role, requires
from lamplighter_server.provenance import service, uses

router = APIRouter(prefix="/api/v1", tags=["provenance"])

DatasetPath = Annotated[str, Path(pattern=SHA256_PATTERN)]


class ReleaseUse(BaseModel):
    """A release that was made from the dataset."""

    model: str
    release: int


class DeviceUse(ReleaseUse):
    """A device that runs or ran such a release, or is to run it."""

    device: str


class UsesView(BaseModel):
    """What was made from a dataset."""

    releases: list[ReleaseUse]
    devices: list[DeviceUse]


class Erasure(BaseModel):
    """That rows of a person were removed from a dataset; it names nobody."""

    rows_removed: Annotated[int, Field(ge=0, lt=2**53)]
    replaced_by_sha256: Annotated[str, Field(pattern=SHA256_PATTERN)] | None


@router.get("/devices/{device}/provenance")
@requires(Role.VIEWER, narrows=True)
async def get_provenance(
    device: str, caller: CallerDep, context: ContextDep, session: SessionDep
) -> Response:
    """The file that proves what a device runs, to be judged by whoever asks for it."""
    await devices.get(session, device, caller.scope)
    provenance = await service.collect(context, session, device)
    return Response(encode_provenance(provenance), media_type="application/json")


@router.get("/datasets/{sha256}/uses")
@requires(Role.VIEWER, narrows=True)
async def get_uses(
    sha256: DatasetPath, caller: CallerDep, context: ContextDep, session: SessionDep
) -> UsesView:
    """The releases whose lineage names a dataset, and the devices inside the caller's scope."""
    found = await uses.find_uses(context, session, sha256, caller.scope)
    return UsesView(
        releases=[ReleaseUse(model=model, release=number) for model, number in found.releases],
        devices=[DeviceUse(**use._asdict()) for use in found.devices],
    )


@router.post("/datasets/{sha256}/erasures", status_code=201)
@requires(Role.OPERATOR)
async def post_erasure(
    sha256: DatasetPath, body: Erasure, caller: CallerDep, session: SessionDep
) -> Erasure:
    """Keep in the audit log that a person was erased from a dataset on somebody's machine."""
    await audit.record(
        session, caller.actor, "erased", f"dataset/{sha256}", body.model_dump(mode="json")
    )
    return body
