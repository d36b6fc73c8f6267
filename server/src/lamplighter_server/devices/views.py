"""A device as the API, the command line and the console show it: pure."""

from collections.abc import Iterable
from datetime import datetime
from typing import Any

import msgspec
from pydantic import BaseModel

from lamplighter_protocol.assignment import Mode
from lamplighter_protocol.reported import Failure, ModelReport
from lamplighter_server.assignments.models import Wanted
from lamplighter_server.devices import service
from lamplighter_server.devices.models import Device


class FailureView(BaseModel):
    """Why something was refused or rolled back."""

    code: str
    sentence: str


class DeviceModelView(BaseModel):
    """One model on one device: what it runs, what it tried, what it shall run."""

    model: str
    release: int | None = None
    """The release that answers requests."""
    variant: str | None = None
    committed: bool = False
    since_utc: datetime | None = None
    attempted_release: int | None = None
    phase: str | None = None
    """Of the newest attempt."""
    failure: FailureView | None = None
    waiting: FailureView | None = None
    """Why the update waits for the board; it goes on by itself."""
    wanted_release: int | None = None
    shadow_release: int | None = None
    """The release that shall run in the shadow of the one that answers."""
    shadow: dict[str, float] | None = None
    """What it did there, as the device signed: `compared`, `disagreed`, `missed` and the like."""
    rollout: str | None = None


class DeviceView(BaseModel):
    """One device."""

    id: str
    labels: dict[str, str]
    online: bool
    last_seen_utc: datetime | None
    enrolled_utc: datetime
    inventory: dict[str, Any]
    clock_synchronised: bool | None
    problem: FailureView | None
    revoked_utc: datetime | None = None
    revoked_reason: str | None = None
    retired_utc: datetime | None = None
    models: list[DeviceModelView]


def view(device: Device, wanted: Iterable[Wanted]) -> DeviceView:
    """Put together what a device reports and what it shall have."""
    report = service.read_report(device)
    reported = {item.model: item for item in report.models} if report else {}
    shall: dict[Mode, dict[str, Wanted]] = {"active": {}, "shadow": {}}
    for item in wanted:
        if item.device == device.id:
            shall[item.mode][item.model] = item
    active, in_shadow = shall["active"], shall["shadow"]
    waiting = report.waiting if report else {}
    return DeviceView(
        id=device.id,
        labels=device.labels,
        online=device.online,
        last_seen_utc=device.last_seen_utc,
        enrolled_utc=device.enrolled_utc,
        inventory=device.inventory,
        clock_synchronised=report.clock_synchronised if report else None,
        problem=_failure_view(report.problem if report else None),
        revoked_utc=device.revoked_utc,
        revoked_reason=device.revoked_reason,
        retired_utc=device.retired_utc,
        models=[
            _model_view(
                model,
                reported.get(model),
                active.get(model),
                in_shadow.get(model),
                waiting.get(model),
            )
            for model in sorted(reported.keys() | active.keys() | in_shadow.keys())
        ],
    )


def _model_view(
    model: str,
    reported: ModelReport | None,
    wanted: Wanted | None,
    in_shadow: Wanted | None,
    waiting: Failure | None,
) -> DeviceModelView:
    shown = DeviceModelView(model=model, waiting=_failure_view(waiting))
    if in_shadow is not None:
        shown.shadow_release = in_shadow.release
    if wanted is not None:
        shown.wanted_release, shown.rollout = wanted.release, wanted.rollout
    if reported is not None and (active := reported.active) is not None:
        shown.release, shown.variant = active.release, active.variant
        shown.committed, shown.since_utc = active.committed, active.since_utc
    if reported is not None and (attempt := reported.attempt) is not None:
        shown.attempted_release, shown.phase = attempt.release, attempt.phase
        if attempt.shadow is not None:
            shown.shadow = msgspec.to_builtins(attempt.shadow)
        shown.failure = _failure_view(attempt.failure)
    return shown


def _failure_view(failure: Failure | None) -> FailureView | None:
    return FailureView(code=failure.code, sentence=failure.sentence) if failure else None
