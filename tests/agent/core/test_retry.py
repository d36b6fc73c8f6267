from datetime import datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lamplighter_agent.core.retry import (
    LATER_MAX_S,
    Backoff,
    class_of,
    class_of_status,
    pause_s,
    read_retry_after,
)
from lamplighter_protocol.errors import CATALOGUE, LamplighterError

NOW = datetime(2026, 5, 1, 12, tzinfo=timezone.utc)
SECONDS = st.floats(0, 1e6)
BACKOFFS = st.builds(Backoff, first_s=st.floats(0.01, 100), max_s=st.floats(0.01, 1e5))
DRAWS = st.floats(0, 1, exclude_max=True)


@given(st.integers(0, 10**9), BACKOFFS, DRAWS)
def test_a_pause_is_below_its_ceiling_which_doubles_up_to_the_highest(
    failures: int, backoff: Backoff, draw: float
) -> None:
    ceiling_s = min(backoff.max_s, backoff.first_s * 2.0 ** min(failures, 50))
    assert 0 <= pause_s(failures, backoff, draw) <= ceiling_s <= backoff.max_s


@given(st.integers(0, 100), BACKOFFS, DRAWS, DRAWS)
def test_more_failures_never_shorten_a_pause_and_every_length_up_to_the_ceiling_occurs(
    failures: int, backoff: Backoff, draw: float, other: float
) -> None:
    assert pause_s(failures, backoff, draw) <= pause_s(failures + 1, backoff, draw)
    assert pause_s(failures, backoff, 0.0) == 0.0, "the jitter is full"
    first, second = (pause_s(failures, backoff, item) for item in (draw, other))
    assert (first <= second) == (draw <= other) or first == second


@given(st.integers(0, 100), BACKOFFS, DRAWS, SECONDS)
def test_who_says_when_to_come_back_is_heeded_within_reason(
    failures: int, backoff: Backoff, draw: float, after_s: float
) -> None:
    waited_s = pause_s(failures, backoff, draw, after_s)
    assert waited_s >= min(after_s, LATER_MAX_S)
    assert waited_s <= min(after_s, LATER_MAX_S) + backoff.max_s


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (200, "permanent"),
        (301, "permanent"),
        (400, "permanent"),
        (401, "permanent"),
        (404, "permanent"),
        (408, "transient"),
        (416, "permanent"),
        (429, "later"),
        (500, "transient"),
        (502, "transient"),
        (503, "later"),
        (504, "transient"),
        (599, "transient"),
    ],
)
def test_statuses_have_classes(status: int, kind: str) -> None:
    assert class_of_status(status) == kind


@given(st.sampled_from(sorted(CATALOGUE)), st.one_of(st.none(), SECONDS))
def test_only_what_may_succeed_without_a_change_is_tried_again(
    code: str, after_s: float | None
) -> None:
    kind = class_of(LamplighterError(code, "x", retry_after_s=after_s))
    assert (kind == "permanent") == (not CATALOGUE[code].retryable)
    assert kind != "later" or after_s is not None


@given(st.integers(0, 10**6))
def test_seconds_and_dates_mean_the_same(seconds: int) -> None:
    then = NOW + timedelta(seconds=seconds)
    assert read_retry_after(str(seconds), NOW) == seconds
    assert read_retry_after(f"{then:%a, %d %b %Y %H:%M:%S} GMT", NOW) == seconds


def test_a_date_that_is_over_asks_for_no_wait() -> None:
    assert read_retry_after("Wed, 01 Jan 2020 00:00:00 GMT", NOW) == 0


@given(st.one_of(st.none(), st.text()))
def test_whatever_a_header_says_it_asks_for_seconds_or_nothing(header: str | None) -> None:
    found = read_retry_after(header, NOW)
    assert found is None or found >= 0
