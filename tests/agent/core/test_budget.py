from datetime import datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lamplighter_agent.core.budget import BURST_S, Budget, Pace, Period, Spent

TIMES = st.integers(946_684_800, 3_786_912_000).map(  # the years 2000 to 2089
    lambda time: datetime.fromtimestamp(time, timezone.utc)
)
BUDGETS = st.builds(Budget, st.integers(0, 10**12), st.sampled_from(["day", "month"]))
SIZES = st.integers(0, 10**9)


@given(BUDGETS, TIMES, st.lists(SIZES))
def test_what_came_and_what_is_left_make_the_budget(
    budget: Budget, now: datetime, sizes: list[int]
) -> None:
    spent: Spent | None = None
    for size in sizes:
        spent = budget.charge(spent, size, now)
    assert budget.left_bytes(spent, now) == max(0, budget.size_bytes - sum(sizes))


@given(BUDGETS, TIMES, SIZES)
def test_the_next_period_begins_with_all_of_it_and_no_moment_earlier(
    budget: Budget, now: datetime, size: int
) -> None:
    spent, resets = budget.charge(None, size, now), budget.resets_utc(now)
    assert now < resets <= now + timedelta(days=31)
    assert budget.left_bytes(spent, resets) == budget.size_bytes
    before = resets - timedelta(microseconds=1)
    assert budget.left_bytes(spent, before) == max(0, budget.size_bytes - size)


@pytest.mark.parametrize("period", ["day", "month"])
def test_a_clock_that_was_far_ahead_shuts_nobody_off(period: Period) -> None:
    budget = Budget(100, period)
    spent = budget.charge(None, 100, datetime(2099, 1, 1, tzinfo=timezone.utc))
    assert budget.left_bytes(spent, datetime(2026, 1, 1, tzinfo=timezone.utc)) == 100


@given(
    st.floats(10, 1e7),
    st.lists(st.tuples(st.integers(1, 600_000), st.floats(0, 5)), min_size=1, max_size=60),
)
def test_a_pace_is_kept_over_every_stretch(rate: float, asked: list[tuple[int, float]]) -> None:
    pace, now, began = Pace(rate), 1000.0, []
    for size, pause_s in asked:
        now += pause_s
        while wait_s := pace.take(size, now):
            now = max(now + wait_s, now * (1 + 1e-15))
        began.append((now, size))
    largest = max(size for size, _ in asked)
    for first in range(len(began)):
        for last in range(first, len(began)):
            bytes_begun = sum(size for _, size in began[first : last + 1])
            stretch_s = began[last][0] - began[first][0]
            assert bytes_begun <= (rate * (stretch_s + BURST_S) + largest) * (1 + 1e-6)


@given(SIZES, st.floats(0, 1e9))
def test_without_a_rate_nothing_waits(size: int, now: float) -> None:
    assert Pace(0).take(size, now) == 0


def test_who_waits_as_long_as_told_may_begin() -> None:
    pace = Pace(1000)
    assert pace.take(5000, 100) == 0
    assert pace.take(1, 100) == pytest.approx(5 - BURST_S)
    assert pace.take(1, 105) == 0
