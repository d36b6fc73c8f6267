"""One step of a rollout: from what is stored and signed to what to do next."""

from collections.abc import Mapping
from datetime import datetime

import msgspec

from lamplighter_protocol.reported import Reported
from lamplighter_server.rollouts.gates import (
    Place,
    Target,
    judge_device,
    judge_wave,
)
from lamplighter_server.rollouts.policy import Policy
from lamplighter_server.rollouts.states import AT_WORK, Status, follow


class Snapshot(msgspec.Struct, frozen=True, kw_only=True):
    """All that a step depends on."""

    status: Status
    wave: int
    reason: str
    policy: Policy
    target: Target
    places: tuple[Place, ...]
    reports: Mapping[str, Reported]
    """The newest verified report by device; a device that never reported is absent."""
    now_utc: datetime


class Step(msgspec.Struct, frozen=True, kw_only=True):
    """What to store and to do. A second step with the same reports and time changes nothing."""

    status: Status
    wave: int
    reason: str
    settled: tuple[Place, ...] = ()
    """Devices whose state changes."""
    assign: tuple[str, ...] = ()
    """Devices of the wave to which the release is to be assigned now."""
    restore: tuple[str, ...] = ()
    """Devices that get their previous release back."""


def step(snapshot: Snapshot) -> Step:
    """One bounded step: judge, then open a wave, wait, finish or abort.

    At most one wave of devices is assigned. Waves whose devices all run the release already are
    passed on the way, so that doing the same step twice equals doing it once.
    """
    same = Step(status=snapshot.status, wave=snapshot.wave, reason=snapshot.reason)
    if snapshot.status not in AT_WORK:
        return same
    judged = {
        place.device: judge_device(
            place,
            snapshot.reports.get(place.device),
            snapshot.target,
            now_utc=snapshot.now_utc,
        )
        for place in snapshot.places
    }
    if snapshot.status == "aborting":
        return _abort(snapshot, judged, snapshot.reason)
    return _run(snapshot, judged)


def _run(snapshot: Snapshot, judged: dict[str, Place]) -> Step:
    status, wave = snapshot.status, snapshot.wave
    assign: tuple[str, ...] = ()
    last = len(snapshot.policy.waves) - 1
    while True:
        members = [place for place in judged.values() if place.wave == wave]
        verdict = judge_wave(snapshot.policy, members)
        reason = f"wave {wave + 1} of {last + 1}: {'; '.join(verdict.reasons)}"
        if verdict.decision == "stop":
            return _abort(snapshot, judged, reason)
        if verdict.decision == "wait":
            assign = tuple(place.device for place in members if place.state == "waiting")
            break
        if wave == last:
            status = follow(status, "finish")
            break
        wave += 1
        if wave - 1 in snapshot.policy.pause_after_waves:
            status = follow(status, "pause")
            break
    changed = _changed(snapshot, judged)
    return Step(status=status, wave=wave, reason=reason, settled=changed, assign=assign)


def _abort(snapshot: Snapshot, judged: dict[str, Place], reason: str) -> Step:
    return Step(
        status=follow(follow(snapshot.status, "stop"), "restore"),
        wave=snapshot.wave,
        reason=reason,
        settled=_changed(snapshot, judged),
        restore=tuple(place.device for place in snapshot.places if place.assigned is not None),
    )


def _changed(snapshot: Snapshot, judged: Mapping[str, Place]) -> tuple[Place, ...]:
    return tuple(judged[place.device] for place in snapshot.places if judged[place.device] != place)
