"""HTTP of the devices slice: what people ask for."""

from datetime import datetime
from typing import Annotated, Any

import msgspec
from fastapi import APIRouter
from pydantic import BaseModel, Field

from lamplighter_protocol.errors import LamplighterError
from lamplighter_server.assignments import service as assignments
from lamplighter_server.devices import enrolment, revocation, service
from lamplighter_server.devices.views import DeviceView, view
from lamplighter_server.edge import CallerDep, ContextDep, SessionDep
from lamplighter_server.people.access import Role, requires

router = APIRouter(prefix="/api/v1/devices", tags=["devices"])


class NewInvitation(BaseModel):
    """Whom to invite."""

    device: str
    labels: dict[str, str] = {}
    replace: bool = False
    """Whether the name may be in use: then the board that has it now is to be replaced."""


class InvitationView(BaseModel):
    """What to carry to the device."""

    device: str
    invitation: str
    expires_utc: datetime


class NewLabels(BaseModel):
    """What to change of a device's labels."""

    set: dict[str, str] = {}
    remove: list[str] = []


class NewRevocation(BaseModel):
    """Why a device is shut out."""

    reason: Annotated[str, Field(max_length=200)] = ""


class ReportView(BaseModel):
    """A device's signed state, for anybody who wants to verify it."""

    public_key_pem: str
    envelope: dict[str, Any]


@router.post("/invitations", status_code=201)
@requires(Role.OPERATOR, narrows=True)
async def post_invitation(
    body: NewInvitation, caller: CallerDep, context: ContextDep, session: SessionDep
) -> InvitationView:
    """Make a one-time invitation."""
    caller.check_touches(body.labels)
    if (known := await service.find(session, body.device)) is not None:
        caller.check_touches(known.labels)
    text, expires_utc = await enrolment.invite(
        context, session, body.device, body.labels, replace=body.replace
    )
    return InvitationView(device=body.device, invitation=text, expires_utc=expires_utc)


@router.get("")
@requires(Role.VIEWER, narrows=True)
async def get_devices(
    caller: CallerDep, session: SessionDep, *, retired: bool = False
) -> list[DeviceView]:
    """Every device that the caller may see; those that were retired only on request."""
    wanted = await assignments.wanted(session)
    return [
        view(device, wanted)
        for device in await service.ls(session, caller.scope)
        if retired or device.retired_utc is None
    ]


@router.get("/{device}")
@requires(Role.VIEWER, narrows=True)
async def get_device(device: str, caller: CallerDep, session: SessionDep) -> DeviceView:
    """One device."""
    found = await service.get(session, device, caller.scope)
    return view(found, await assignments.wanted(session, [device]))


@router.post("/{device}/labels")
@requires(Role.OPERATOR, narrows=True)
async def post_labels(
    device: str, body: NewLabels, caller: CallerDep, session: SessionDep
) -> DeviceView:
    """Change labels; what is planned already keeps the devices that it has taken."""
    found = await service.get(session, device, caller.scope)
    service.relabel(found, body.set, body.remove)
    caller.check_touches(found.labels)
    return view(found, await assignments.wanted(session, [device]))


@router.post("/{device}/revoke")
@requires(Role.OPERATOR, narrows=True)
async def post_revoke(
    device: str, body: NewRevocation, caller: CallerDep, context: ContextDep, session: SessionDep
) -> DeviceView:
    """Shut a device out; the broker ends its connection within a tick."""
    await service.get(session, device, caller.scope)
    found = await revocation.revoke(context, session, device, body.reason)
    return view(found, await assignments.wanted(session, [device]))


@router.post("/{device}/retire")
@requires(Role.OPERATOR, narrows=True)
async def post_retire(
    device: str, caller: CallerDep, context: ContextDep, session: SessionDep
) -> DeviceView:
    """Shut a device out for good, and list it no longer."""
    await service.get(session, device, caller.scope)
    return view(await revocation.retire(context, session, device), ())


@router.get("/{device}/report")
@requires(Role.VIEWER, narrows=True)
async def get_report(device: str, caller: CallerDep, session: SessionDep) -> ReportView:
    """The newest signed report as the device sent it, with the key that verifies it."""
    found = await service.get(session, device, caller.scope)
    if found.report_envelope is None:
        raise LamplighterError("REPORT_MISSING", f"{device} has not reported yet.")
    return ReportView(
        public_key_pem=found.public_key_pem,
        envelope=msgspec.json.decode(found.report_envelope),
    )
