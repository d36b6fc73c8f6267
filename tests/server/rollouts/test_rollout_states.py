import pytest

from lamplighter_protocol.errors import LamplighterError
from lamplighter_server.rollouts.states import (
    AT_WORK,
    EVENTS,
    OPEN,
    STATUSES,
    TRANSITIONS,
    Event,
    Status,
    follow,
)


@pytest.mark.parametrize("status", STATUSES)
@pytest.mark.parametrize("event", EVENTS)
def test_every_pair_is_decided(status: Status, event: Event) -> None:
    if (status, event) in TRANSITIONS:
        assert follow(status, event) in STATUSES
    else:
        with pytest.raises(LamplighterError, match="STATE_FORBIDS"):
            follow(status, event)


def test_a_closed_rollout_stays_closed() -> None:
    assert {status for status, _ in TRANSITIONS} == OPEN
    assert AT_WORK < OPEN


@pytest.mark.parametrize("status", sorted(OPEN))
def test_every_open_rollout_can_be_aborted(status: Status) -> None:
    assert follow(follow(status, "stop"), "restore") == "aborted"


def test_every_status_is_reached() -> None:
    reached: set[Status] = {"draft"}
    for _ in STATUSES:
        reached |= {after for (before, _), after in TRANSITIONS.items() if before in reached}
    assert reached == set(STATUSES)
