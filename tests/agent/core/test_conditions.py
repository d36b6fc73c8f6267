from dataclasses import replace
from datetime import datetime, time, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lamplighter_agent.core import conditions
from lamplighter_agent.core.conditions import Board, DailyWindow, Limits, waits_for
from lamplighter_protocol.errors import CATALOGUE

OSLO = ZoneInfo("Europe/Oslo")
NOON = datetime(2026, 11, 23, 12, tzinfo=OSLO)
FIT = Board(
    disk_free_mb=1000,
    memory_available_mb=1000,
    temperature_c=40,
    on_mains=True,
    local=NOON,
    held_s=None,
)
STRICT = Limits(
    windows=(DailyWindow(time(11), time(13)),),
    hold_max_s=60,
    min_free_memory_mb=100,
    min_free_disk_mb=100,
    max_temperature_c=70,
    require_mains_power=True,
)
times = st.times().map(lambda at: at.replace(second=0, microsecond=0))
windows = st.builds(DailyWindow, times, times)
boards = st.builds(
    Board,
    disk_free_mb=st.floats(0, 1e6),
    memory_available_mb=st.floats(0, 1e6),
    temperature_c=st.none() | st.floats(-40, 120),
    on_mains=st.none() | st.booleans(),
    local=st.none() | st.datetimes(timezones=st.just(OSLO)),
    held_s=st.none() | st.floats(0, 1e6),
)
limits = st.builds(
    Limits,
    windows=st.lists(windows, max_size=3),
    hold_max_s=st.floats(0, 1e6),
    min_free_memory_mb=st.floats(0, 1e6),
    min_free_disk_mb=st.floats(0, 1e6),
    max_temperature_c=st.floats(0, 120),
    require_mains_power=st.booleans(),
)


@given(times, times)
def test_a_window_and_its_complement_share_the_day(start: time, end: time) -> None:
    window, rest = DailyWindow(start, end), DailyWindow(end, start)
    minutes = [time(*divmod(minute, 60)) for minute in range(24 * 60)]
    held = [window.holds(minute) for minute in minutes]
    if start == end:
        assert all(held)
        return
    assert held == [not rest.holds(minute) for minute in minutes]
    length = (end.hour - start.hour) * 60 + end.minute - start.minute
    assert sum(held) == length % (24 * 60)
    assert window.holds(start)
    assert not window.holds(end)


@given(windows)
def test_a_window_reads_what_it_shows(window: DailyWindow) -> None:
    assert DailyWindow.parse(str(window)) == window


@pytest.mark.parametrize("text", ["", "2:00-4:00", "24:00-01:00", "02:60-03:00", "02:00-04:00 "])
def test_what_is_no_window_is_refused(text: str) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - every sentence will do
        DailyWindow.parse(text)


def minutes_open(window: DailyWindow, day: datetime, hours: int) -> int:
    """How many real minutes of a local day, as the board's clock shows them, lie in a window."""
    start = day.astimezone(ZoneInfo("UTC"))
    walls = (start + timedelta(minutes=minute) for minute in range(hours * 60))
    return sum(conditions.check_window(wall.astimezone(OSLO), [window]) is None for wall in walls)


def test_nights_in_which_the_clocks_change() -> None:
    whole = DailyWindow(time(1), time(4))
    inside = DailyWindow(time(2), time(3))
    spring = datetime(2026, 3, 29, tzinfo=OSLO)
    autumn = datetime(2026, 10, 25, tzinfo=OSLO)
    assert (minutes_open(whole, spring, 23), minutes_open(inside, spring, 23)) == (120, 0)
    assert (minutes_open(whole, autumn, 25), minutes_open(inside, autumn, 25)) == (240, 120)


@pytest.mark.parametrize(
    ("board", "code"),
    [
        (FIT, None),
        (replace(FIT, local=NOON.replace(hour=13)), "WAITS_FOR_WINDOW"),
        (replace(FIT, local=None), "WAITS_FOR_WINDOW"),
        (replace(FIT, held_s=59), "WAITS_FOR_WORKLOAD"),
        (replace(FIT, held_s=60), None),
        (replace(FIT, on_mains=False), "WAITS_FOR_POWER"),
        (replace(FIT, on_mains=None), "WAITS_FOR_POWER"),
        (replace(FIT, temperature_c=70.1), "WAITS_FOR_TEMPERATURE"),
        (replace(FIT, temperature_c=None), "WAITS_FOR_TEMPERATURE"),
        (replace(FIT, memory_available_mb=99), "WAITS_FOR_MEMORY"),
        (replace(FIT, disk_free_mb=149), "WAITS_FOR_DISK"),
    ],
)
def test_each_limit_holds_back(board: Board, code: str | None) -> None:
    reason = waits_for(board, STRICT, needed_mb=50)
    assert (reason.code if reason else None) == code


@given(boards, limits, st.floats(0, 1e6))
def test_a_reason_can_always_be_told_and_may_always_pass(
    board: Board, asked: Limits, needed_mb: float
) -> None:
    reason = waits_for(board, asked, needed_mb)
    if reason is not None:
        assert CATALOGUE[reason.code].retryable
        assert reason.sentence.endswith(".")


@given(boards, limits, st.floats(0, 1e6))
def test_a_better_board_and_a_smaller_update_never_wait_longer(
    board: Board, asked: Limits, needed_mb: float
) -> None:
    if waits_for(board, asked, needed_mb) is None:
        better = replace(
            board,
            disk_free_mb=board.disk_free_mb * 2,
            memory_available_mb=board.memory_available_mb * 2,
            temperature_c=None if board.temperature_c is None else board.temperature_c - 10,
            on_mains=True,
            held_s=None,
        )
        assert waits_for(better, asked, needed_mb / 2) is None


@given(boards, limits)
def test_what_cannot_be_seen_is_never_go(board: Board, asked: Limits) -> None:
    blind = replace(board, temperature_c=None, on_mains=None, local=None)
    demanding = asked.windows or asked.max_temperature_c or asked.require_mains_power
    if demanding:
        assert waits_for(blind, asked) is not None


def test_without_limits_everything_goes() -> None:
    assert waits_for(replace(FIT, local=None, on_mains=False, temperature_c=99), Limits()) is None
