"""A release on a device as a lamp: nine states, each with its own mark and word."""

from typing import Final

from lamplighter_server.devices.views import DeviceModelView

#: State to the word that is read, in the order of a legend. The mark is `#lamp-<state>`.
WORDS: Final = {
    "committed": "committed",
    "probation": "in probation",
    "shadowed": "in shadow",
    "updating": "updating",
    "waiting": "waiting",
    "rolled-back": "rolled back",
    "failed": "failed",
    "timed-out": "timed out",
    "skipped": "skipped",
}
#: States that a person should look at.
ATTENTION: Final = frozenset({"rolled-back", "failed", "timed-out"})
_UNDER_WAY: Final = frozenset({"admitted", "fetching", "verified", "self-testing", "rolling-back"})


def of_place(state: str, phase: str | None) -> str:
    """The lamp of a device in a rollout.

    Args:
        state: As the rollout has it (rollouts.states.DeviceState).
        phase: Of the device's attempt in this rollout, if it has told of one.
    """
    if state != "assigned":
        return state
    return "probation" if phase == "probation" else "updating"


def of_attempt(item: DeviceModelView) -> str | None:
    """The lamp of the newest attempt, where it tells more than what runs; else None."""
    if item.phase in _UNDER_WAY:
        return "updating"
    if item.phase == "shadowing":
        return "shadowed"
    if item.phase == "probation" and item.attempted_release != item.release:
        return "probation"
    return item.phase if item.phase in ATTENTION else None


def of_running(item: DeviceModelView) -> str:
    """The lamp of the release that answers requests; none answering is an unlit lamp."""
    if item.release is None:
        return "waiting"
    return "committed" if item.committed else "probation"
