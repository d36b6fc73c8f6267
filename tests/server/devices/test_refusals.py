import pytest
from hypothesis import given
from hypothesis import strategies as st

from lamplighter_protocol.errors import LamplighterError
from lamplighter_server.devices import refusals
from lamplighter_server.devices.refusals import FREE, REFILL_S, Refusals


def admitted(counter: Refusals, network: str, now_mono: float) -> bool:
    try:
        counter.check(network, now_mono)
    except LamplighterError as error:
        return error.code != "ENROLMENT_THROTTLED"
    return True


@given(pauses_s=st.lists(st.floats(0, 20), min_size=1, max_size=200))
def test_over_any_time_no_more_than_the_free_ones_and_the_refill(pauses_s: list[float]) -> None:
    counter, now_mono, tried = Refusals(), 0.0, 0
    for pause_s in pauses_s:
        now_mono += pause_s
        if admitted(counter, "a", now_mono):
            counter.count("a", now_mono)
            tried += 1
    assert tried <= FREE + now_mono / REFILL_S + 1e-6


@given(st.integers(0, 500))
def test_whoever_waits_as_long_as_it_says_may_try(refused: int) -> None:
    counter = Refusals()
    for _ in range(min(refused, FREE)):
        counter.count("a", 0.0)
    wait_s = max(0, refused - FREE + 1) * REFILL_S
    assert admitted(counter, "a", wait_s)


def test_others_do_not_wait_and_memory_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(refusals, "MAX_NETWORKS", 3)
    counter = Refusals()
    for _ in range(FREE):
        counter.count("a", 0.0)
    assert not admitted(counter, "a", 0.0)
    assert admitted(counter, "b", 0.0)
    for network in ("b", "c", "d"):
        counter.count(network, 0.0)
    assert admitted(counter, "a", 0.0), "the one that was quiet longest is forgotten"
