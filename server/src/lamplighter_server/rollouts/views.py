"""A rollout as the API, the command line and the console show it: pure."""

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from typing import Any

from pydantic import BaseModel

from lamplighter_protocol.reported import Attempt
from lamplighter_server.devices import service as devices
from lamplighter_server.devices.models import Device
from lamplighter_server.rollouts.models import Rollout, RolloutDevice
from lamplighter_server.rollouts.policy import read_policy
from lamplighter_server.rollouts.states import FAILED, SUCCEEDED
from lamplighter_server.rollouts.work import generation_of


class PlaceView(BaseModel):
    """One device in a rollout."""

    device: str
    wave: int
    state: str
    reason: str
    """Why it has this state; while it is open, why the device waits."""
    site: str | None
    previous_release: int | None
    generation: str | None
    deadline_utc: datetime | None
    settled_utc: datetime | None
    phase: str | None = None
    """Where the device's attempt in this rollout is, as it signed."""
    timings_s: dict[str, float] = {}
    """What the device measured of this attempt: `fetch`, `self_test`, `probation`, `rollback`."""


class WaveView(BaseModel):
    """One wave, counted from 0."""

    wave: int
    size: str
    devices: int
    committed: int
    """Devices that have succeeded; in shadow mode, those whose time in shadow is over."""
    failed: int
    opened_utc: datetime | None


class MomentView(BaseModel):
    """Something that happened."""

    at_utc: datetime
    what: str


class RolloutView(BaseModel):
    """A rollout at a glance."""

    id: str
    model: str
    release: int
    status: str
    reason: str
    wave: int
    policy: dict[str, Any]
    authors: list[str]
    """Who planned or changed it; none of them may approve it."""
    revision: int
    """How often it was planned; an approval names the one that was looked at."""
    needs_approval: bool
    approved_by: str | None
    approved_utc: datetime | None
    created_utc: datetime
    started_utc: datetime | None
    finished_utc: datetime | None


class RolloutDetailView(RolloutView):
    """A rollout with its waves, its devices and its history."""

    waves: list[WaveView]
    devices: list[PlaceView]
    timeline: list[MomentView]


def summary(row: Rollout) -> RolloutView:
    """A rollout at a glance."""
    return RolloutView.model_validate(row, from_attributes=True)


def detail(row: Rollout, places: Sequence[tuple[RolloutDevice, Device]]) -> RolloutDetailView:
    """A rollout with everything that is known of its devices."""
    policy = read_policy(row.policy)
    rows = [place for place, _ in places]
    waves = []
    for wave, size in enumerate(policy.waves):
        members = [place for place in rows if place.wave == wave and place.state != "skipped"]
        waves.append(
            WaveView(
                wave=wave,
                size=size,
                devices=len(members),
                committed=sum(place.state in SUCCEEDED for place in members),
                failed=sum(place.state in FAILED for place in members),
                opened_utc=_opened(members, policy.deadline_s),
            )
        )
    return RolloutDetailView(
        **summary(row).model_dump(),
        waves=waves,
        devices=[_place(row, place, device) for place, device in places],
        timeline=_timeline(row, waves, rows),
    )


def _opened(members: Iterable[RolloutDevice], deadline_s: int) -> datetime | None:
    deadlines = [place.deadline_utc for place in members if place.deadline_utc is not None]
    return min(deadlines) - timedelta(seconds=deadline_s) if deadlines else None


def _place(row: Rollout, place: RolloutDevice, device: Device) -> PlaceView:
    generation = generation_of(place)
    attempt = _attempt(row, device)
    return PlaceView(
        device=place.device,
        wave=place.wave,
        state=place.state,
        reason=place.reason or _waits(row, place, device),
        site=device.labels.get("site"),
        previous_release=place.previous_release,
        generation=str(generation) if generation is not None else None,
        deadline_utc=place.deadline_utc,
        settled_utc=place.settled_utc,
        phase=attempt.phase if attempt is not None else None,
        timings_s=attempt.timings_s if attempt is not None else {},
    )


def _waits(row: Rollout, place: RolloutDevice, device: Device) -> str:
    """What the device says holds the update back."""
    report = devices.read_report(device) if place.state == "assigned" else None
    cause = report.waiting.get(row.model) if report is not None else None
    return f"waits, {cause.code}: {cause.sentence}" if cause is not None else ""


def _attempt(row: Rollout, device: Device) -> Attempt | None:
    report = devices.read_report(device)
    for item in report.models if report is not None else ():
        if item.attempt is not None and item.attempt.rollout == row.id:
            return item.attempt
    return None


def _timeline(
    row: Rollout, waves: Iterable[WaveView], places: Iterable[RolloutDevice]
) -> list[MomentView]:
    moments = [
        (row.created_utc, "created"),
        (row.approved_utc, f"approved by {row.approved_by}"),
        (row.started_utc, "started"),
        *((wave.opened_utc, f"wave {wave.wave + 1} opened") for wave in waves),
        *((p.settled_utc, f"{p.device} {p.state}: {p.reason}") for p in places),
        (row.finished_utc, f"{row.status}: {row.reason}"),
    ]
    known = [MomentView(at_utc=at_utc, what=what) for at_utc, what in moments if at_utc]
    return sorted(known, key=lambda moment: moment.at_utc)
