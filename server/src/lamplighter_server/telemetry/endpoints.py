"""HTTP of the telemetry slice."""

import math
from collections import defaultdict
from datetime import datetime
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query
from pydantic import AwareDatetime, BaseModel

from lamplighter_protocol.bundle import Manifest
from lamplighter_protocol.counts import latency_quantile_s
from lamplighter_server.devices import service as devices
from lamplighter_server.edge import CallerDep, ContextDep, SessionDep
from lamplighter_server.people.access import Role, requires
from lamplighter_server.releases import service as releases
from lamplighter_server.telemetry import service
from lamplighter_server.telemetry.models import WindowRow
from lamplighter_server.telemetry.selection import Selection

router = APIRouter(prefix="/api/v1", tags=["telemetry"])


class MergedView(BaseModel):
    """The merged counts of a device, a site or the fleet."""

    place: str
    devices: list[str]
    windows: int
    first_utc: datetime
    last_utc: datetime
    rows: int
    requests: int
    predicted: dict[str, int]
    """Rows by predicted label."""
    latency_p50_ms: float | None
    """Upper edge of the bin; null above 100 s."""
    latency_p99_ms: float | None
    errors: dict[str, int]
    columns: dict[str, list[int]]
    """Counts per slot of the release's signed bins."""


class EventView(BaseModel):
    """Something that happened on a device."""

    device: str
    sequence: int
    at_utc: datetime
    body: dict[str, Any]


class VitalsView(BaseModel):
    """The newest vitals of a device."""

    device: str
    received_utc: datetime
    body: dict[str, Any]


@router.get("/windows")
@requires(Role.VIEWER, narrows=True)
async def get_windows(
    caller: CallerDep,
    context: ContextDep,
    session: SessionDep,
    model: str,
    release: int,
    by: Literal["device", "site", "fleet"] = "fleet",
    since: AwareDatetime | None = None,
    until: AwareDatetime | None = None,
) -> list[MergedView]:
    """Windows that start in [since, until), merged exactly at the level asked for."""
    manifest = await releases.load_manifest(context, session, model, release)
    labels = {device.id: device.labels for device in await devices.ls(session, caller.scope)}
    selection = Selection(model=model, release=release, since=since, until=until)
    places: dict[str, list[WindowRow]] = defaultdict(list)
    for row in await service.windows(session, selection):
        if row.device not in labels:
            continue
        site = labels[row.device].get("site", "-")
        places[{"device": row.device, "site": site, "fleet": "fleet"}[by]].append(row)
    return [_merged(place, manifest, rows) for place, rows in sorted(places.items())]


@router.get("/events")
@requires(Role.VIEWER, narrows=True)
async def get_events(
    caller: CallerDep,
    session: SessionDep,
    device: str | None = None,
    since: AwareDatetime | None = None,
    limit: Annotated[int, Query(ge=1, le=10_000)] = 200,
) -> list[EventView]:
    """The newest events first."""
    seen = {found.id for found in await devices.ls(session, caller.scope)}
    chosen = seen if device is None else seen & {device}
    rows = await service.events(session, devices=chosen, since=since, limit=limit)
    return [EventView.model_validate(row, from_attributes=True) for row in rows]


@router.get("/vitals")
@requires(Role.VIEWER, narrows=True)
async def get_vitals(caller: CallerDep, session: SessionDep) -> list[VitalsView]:
    """The newest vitals of every device that the caller may see."""
    seen = {found.id for found in await devices.ls(session, caller.scope)}
    rows = await service.vitals(session)
    return [
        VitalsView.model_validate(row, from_attributes=True) for row in rows if row.device in seen
    ]


def _merged(place: str, manifest: Manifest, rows: list[WindowRow]) -> MergedView:
    counts = service.merge(manifest, rows)
    return MergedView(
        place=place,
        devices=sorted({row.device for row in rows}),
        windows=len(rows),
        first_utc=rows[0].start_utc,
        last_utc=rows[-1].start_utc,
        rows=counts.rows,
        requests=counts.requests,
        predicted=dict(zip(manifest.answer.labels, counts.predicted, strict=True)),
        latency_p50_ms=_milliseconds(counts.latency, 0.5),
        latency_p99_ms=_milliseconds(counts.latency, 0.99),
        errors=counts.errors,
        columns=counts.columns,
    )


def _milliseconds(latency: list[int], quantile: float) -> float | None:
    seconds = latency_quantile_s(latency, quantile)
    return round(1000 * seconds, 6) if math.isfinite(seconds) else None
