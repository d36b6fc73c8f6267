from datetime import datetime, timedelta, timezone

from hypothesis import given
from hypothesis import strategies as st

from lamplighter_agent.app.windows import IDLE_EVERY, News

START = datetime(2026, 11, 23, tzinfo=timezone.utc)
FIVE_MINUTES = timedelta(minutes=5)


@given(st.lists(st.integers(0, 2), max_size=100))
def test_no_request_is_kept_back_and_silence_is_told_once_and_then_hourly(
    requests: list[int],
) -> None:
    news, last_told = News(), None
    for number, count in enumerate(requests):
        start_utc = START + number * FIVE_MINUTES
        told = news.is_news(("digits", 1), count, start_utc)
        if count:
            assert told
            last_told = None
        else:
            assert told == (last_told is None or start_utc - last_told >= IDLE_EVERY)
            last_told = start_utc if told else last_told


def test_releases_are_told_of_apart_and_a_clock_that_is_set_back_silences_nothing() -> None:
    news = News()
    assert news.is_news(("digits", 1), 0, START)
    assert news.is_news(("digits", 2), 0, START)
    assert not news.is_news(("digits", 1), 0, START + FIVE_MINUTES)
    assert news.is_news(("digits", 1), 0, START - FIVE_MINUTES)
