"""HTTP of the confidential slice."""

from fastapi import APIRouter
from pydantic import BaseModel
from sqlalchemy.ext.asyncio import AsyncSession

from lamplighter_protocol.errors import LamplighterError
from lamplighter_protocol.names import check_name
from lamplighter_server.assignments import service as assignments
from lamplighter_server.blobs import service as blobs
from lamplighter_server.confidential import service
from lamplighter_server.context import Context
from lamplighter_server.devices import service as devices
from lamplighter_server.devices.models import Device
from lamplighter_server.edge import ContextDep, SessionDep
from lamplighter_server.people.access import Role, requires

router = APIRouter(prefix="/api/v1/models/{model}", tags=["models"])


class Switched(BaseModel):
    """What changing the setting has done."""

    model: str
    confidential: bool
    releases: int
    """How many exist that travel sealed from now on."""
    assigned: int
    """Devices that shall have the model and were told anew."""
    unable: dict[str, str]
    """Of these, those that cannot receive it, and why."""


@router.post("/protect")
@requires(Role.OPERATOR)
async def post_protect(model: str, context: ContextDep, session: SessionDep) -> Switched:
    """Make a model confidential: clear what the broker holds of it and offer it sealed."""
    releases = await service.protect(context, session, check_name(model, "model"))
    assigned = await _tell_anew(context, session, model)
    concerned = await devices.get_all(session, assigned)
    return Switched(
        model=model,
        confidential=True,
        releases=releases,
        assigned=len(assigned),
        unable={name: why for name in assigned if (why := _obstacle(concerned[name]))},
    )


@router.post("/unprotect")
@requires(Role.ADMIN)
async def post_unprotect(model: str, context: ContextDep, session: SessionDep) -> Switched:
    """Let a model travel as it is again; whoever reads the broker can then read it."""
    await service.unprotect(session, check_name(model, "model"))
    assigned = await _tell_anew(context, session, model)
    return Switched(model=model, confidential=False, releases=0, assigned=len(assigned), unable={})


def _obstacle(device: Device) -> str:
    """Why nothing can travel sealed to a device; empty if it can."""
    try:
        service.check_receiver(device.id, device.agreement_public, devices.read_inventory(device))
    except LamplighterError as error:
        return f"{error.code}: {error.sentence}"
    return ""


async def _tell_anew(context: Context, session: AsyncSession, model: str) -> list[str]:
    now_utc = context.clock()
    await blobs.reconcile(session, now_utc)
    wanted = await assignments.wanted(session)
    concerned = sorted({item.device for item in wanted if item.model == model})
    if concerned:  # a model may be confidential before there are keys, devices or releases
        await assignments.issue(context, session, concerned, now_utc)
    return concerned
