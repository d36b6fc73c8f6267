"""The statuses of a rollout as a table, and the states of a device in it."""

from typing import Final, Literal, get_args

from lamplighter_protocol.errors import LamplighterError

Status = Literal["draft", "approved", "running", "paused", "aborting", "aborted", "succeeded"]
Event = Literal["revise", "approve", "start", "pause", "stop", "restore", "finish"]
DeviceState = Literal[
    "waiting",
    "assigned",
    "committed",
    "shadowed",
    "failed",
    "rolled-back",
    "timed-out",
    "skipped",
]

STATUSES: Final[tuple[Status, ...]] = get_args(Status)
EVENTS: Final[tuple[Event, ...]] = get_args(Event)
#: An open rollout holds its devices: no other rollout of the model may have them.
OPEN: Final[frozenset[Status]] = frozenset({"draft", "approved", "running", "paused", "aborting"})
#: Not started yet: the plan may still change.
PLANNED: Final[frozenset[Status]] = frozenset({"draft", "approved"})
#: What a tick works on.
AT_WORK: Final[frozenset[Status]] = frozenset({"running", "aborting"})
#: Signed by the device: the release answers, or its time in shadow is over.
SUCCEEDED: Final[frozenset[DeviceState]] = frozenset({"committed", "shadowed"})
FAILED: Final[frozenset[DeviceState]] = frozenset({"failed", "rolled-back", "timed-out"})
#: States that a signed report may still change: the truth may come after the deadline.
UNSETTLED: Final[frozenset[DeviceState]] = frozenset({"assigned", "timed-out"})

TRANSITIONS: Final[dict[tuple[Status, Event], Status]] = {
    ("draft", "revise"): "draft",
    ("draft", "approve"): "approved",
    ("draft", "start"): "running",
    ("draft", "stop"): "aborting",
    ("approved", "revise"): "draft",
    ("approved", "start"): "running",
    ("approved", "stop"): "aborting",
    ("running", "pause"): "paused",
    ("running", "finish"): "succeeded",
    ("running", "stop"): "aborting",
    ("paused", "start"): "running",
    ("paused", "stop"): "aborting",
    ("aborting", "stop"): "aborting",
    ("aborting", "restore"): "aborted",
}


def follow(status: Status, event: Event) -> Status:
    """The status after `event`.

    Raises:
        LamplighterError: STATE_FORBIDS if the table has no such transition.
    """
    try:
        return TRANSITIONS[status, event]
    except KeyError:
        raise LamplighterError(
            "STATE_FORBIDS", f"The rollout is {status}; '{event}' does not fit that."
        ) from None
