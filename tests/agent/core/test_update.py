from itertools import product

import pytest

from lamplighter_agent.core.update import (
    EVENTS,
    RESTING,
    STATES,
    TRANSITIONS,
    YIELDS,
    possible,
    step,
)
from lamplighter_protocol.reported import FINAL_PHASES


@pytest.mark.parametrize(("state", "event"), list(product(STATES, EVENTS)))
def test_every_pair_is_listed_or_refused(state: str, event: str) -> None:
    if event in possible(state):  # type: ignore[arg-type]
        assert step(state, event) == TRANSITIONS[state, event]  # type: ignore[arg-type,index]
    else:
        with pytest.raises(ValueError, match="cannot happen"):
            step(state, event)  # type: ignore[arg-type]


def test_every_transition_is_possible() -> None:
    assert {(state, event) for state in STATES for event in possible(state)} == set(TRANSITIONS)


def test_every_event_and_effect_is_used() -> None:
    assert {event for _, event in TRANSITIONS} == set(EVENTS)
    assert {effect for outcome in TRANSITIONS.values() for effect in outcome.effects} == set(YIELDS)


def test_an_attempt_rests_exactly_where_no_effect_goes_on() -> None:
    for outcome in TRANSITIONS.values():
        goes_on = bool(outcome.effects and YIELDS[outcome.effects[-1]])
        assert goes_on != (outcome.state in RESTING)
    assert RESTING - {"idle"} == FINAL_PHASES


def test_only_what_has_passed_everything_serves_and_only_probation_commits() -> None:
    into = {
        state: {(before, event) for (before, event), to in TRANSITIONS.items() if to.state == state}
        for state in STATES
    }
    assert {pair for pair in into["probation"] if pair[0] != "probation"} == {
        ("self-testing", "self-test-passed")
    }
    assert {pair for pair in into["committed"] if pair[0] != "committed"} == {
        ("probation", "probation-ok")
    }
    assert {pair for pair in into["shadowing"] if pair[0] != "shadowing"} == {
        ("self-testing", "shadow-due")
    }


def test_what_runs_in_shadow_never_switches_what_serves() -> None:
    for (state, event), outcome in TRANSITIONS.items():
        if state == "shadowing":
            assert outcome.state in {"shadowing", "verified", "failed", "idle"}, event
            assert not {"switch", "switch-back"} & set(outcome.effects)
