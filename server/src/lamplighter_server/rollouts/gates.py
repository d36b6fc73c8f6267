"""What the signed reports prove: the state of each device, and whether a wave may pass.

Unknown is never "go": a device that says nothing has not succeeded, and past its deadline it has
failed.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Literal

import msgspec

from lamplighter_protocol.assignment import Generation, Mode
from lamplighter_protocol.reported import Attempt, Reported, Shadowed, ran_in_shadow, runs_committed
from lamplighter_server.rollouts.policy import Policy
from lamplighter_server.rollouts.states import FAILED, UNSETTLED, DeviceState

_ATTEMPT_STATES: Mapping[str, DeviceState] = {"failed": "failed", "rolled-back": "rolled-back"}


class Target(msgspec.Struct, frozen=True, kw_only=True):
    """The release that the rollout brings."""

    model: str
    release: int
    manifest_sha256: str
    mode: Mode = "active"
    max_disagreed_share: int | None = None
    """In percent, in shadow mode."""


class Place(msgspec.Struct, frozen=True, kw_only=True):
    """One device in a rollout."""

    device: str
    wave: int
    state: DeviceState
    reason: str = ""
    assigned: Generation | None = None
    """The generation of the envelope that named the release, once it was issued."""
    deadline_utc: datetime | None = None
    wanted: bool = False
    """Whether the device's assignment names the release without this rollout's help."""


class Verdict(msgspec.Struct, frozen=True, kw_only=True):
    """What a gate says, and why."""

    decision: Literal["go", "wait", "stop"]
    reasons: tuple[str, ...]


def judge_device(
    place: Place, report: Reported | None, target: Target, *, now_utc: datetime
) -> Place:
    """The place after what the device has signed, and after its deadline.

    Args:
        place: The device as it is stored.
        report: Its newest verified report, or None.
        target: The release of the rollout.
        now_utc: The time of the decision.
    """
    runs = report is not None and runs_committed(
        report, target.model, target.release, target.manifest_sha256
    )
    if place.state == "waiting" and place.wanted and runs:
        return _settle(place, "committed", "it ran the release already")
    if place.state not in UNSETTLED or place.assigned is None:
        return place
    if report is not None and _answers(report.generation, place.assigned):
        if runs:
            return _settle(place, "committed", "it signed that it runs the release")
        shadow = ran_in_shadow(report, target.model, target.release)
        if target.mode == "shadow" and shadow is not None:
            return _judge_shadow(place, shadow, target.max_disagreed_share)
        attempt = _attempt(report, target, place.assigned)
        if attempt is not None and attempt.phase in _ATTEMPT_STATES:
            return _settle(place, _ATTEMPT_STATES[attempt.phase], _failure(attempt))
    if place.deadline_utc is None or now_utc >= place.deadline_utc:
        return _settle(place, "timed-out", _silence(report, place.assigned, target))
    return place


def judge_wave(policy: Policy, places: Sequence[Place]) -> Verdict:
    """Whether the next wave may open.

    Args:
        policy: The plan.
        places: All devices of the open wave, judged.
    """
    taking_part = [place for place in places if place.state != "skipped"]
    failed = [place for place in taking_part if place.state in FAILED]
    pending = [place for place in taking_part if place.state in {"waiting", "assigned"}]
    tolerated = policy.tolerated(len(taking_part))
    reasons = tuple(f"{place.device} {place.state}: {place.reason}" for place in failed)
    if len(failed) > tolerated:
        return Verdict(decision="stop", reasons=reasons)
    if pending:
        waiting = f"{len(pending)} of {len(taking_part)} devices have not answered yet"
        return Verdict(decision="wait", reasons=(waiting, *reasons))
    if taking_part and len(failed) == len(taking_part):
        return Verdict(decision="stop", reasons=("no device has succeeded", *reasons))
    done = f"{len(taking_part) - len(failed)} of {len(taking_part)} devices succeeded"
    return Verdict(decision="go", reasons=(done, *reasons))


def _judge_shadow(place: Place, shadow: Shadowed, max_share: int | None) -> Place:
    """Missing comparisons are never "go" where a limit asks for them."""
    told = f"{shadow.disagreed} of {shadow.compared} rows were answered otherwise in shadow"
    if max_share is not None:
        if not shadow.compared:
            return _settle(place, "failed", "no row was compared in shadow")
        if 100 * shadow.disagreed > max_share * shadow.compared:
            return _settle(place, "failed", f"{told}; {max_share} % are allowed")
    return _settle(place, "shadowed", told)


def _answers(generation: Generation | None, assigned: Generation) -> bool:
    return generation is not None and generation >= assigned


def _settle(place: Place, state: DeviceState, reason: str) -> Place:
    if place.state == state:
        return place
    return msgspec.structs.replace(place, state=state, reason=reason)


def _attempt(report: Reported, target: Target, assigned: Generation) -> Attempt | None:
    """What the device tried in answer to this rollout; older tries do not count."""
    for item in report.models:
        attempt = item.attempt if item.model == target.model else None
        if attempt and attempt.release == target.release and attempt.generation >= assigned:
            return attempt
    return None


def _failure(attempt: Attempt) -> str:
    if attempt.failure is None:
        return "the device gave no cause"
    return f"{attempt.failure.code}: {attempt.failure.sentence}"


def _silence(report: Reported | None, assigned: Generation, target: Target) -> str:
    """Why a deadline passed, as far as the device has said anything."""
    if report is None:
        return "it has never reported"
    if (cause := report.waiting.get(target.model) or report.problem) is not None:
        return f"not done by its deadline; {cause.code}: {cause.sentence}"
    if not _answers(report.generation, assigned):
        return f"silent past its deadline; its last report is of {report.at_utc:%Y-%m-%d %H:%M:%S}Z"
    attempt = _attempt(report, target, assigned)
    return f"not done by its deadline; it was {attempt.phase if attempt else 'idle'}"
