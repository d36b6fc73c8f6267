from datetime import datetime, timedelta, timezone

from hypothesis import given
from hypothesis import strategies as st

from lamplighter_agent.app.renewal import choose_way
from lamplighter_protocol.renewal import Validity

START = datetime(2026, 1, 1, tzinfo=timezone.utc)
VALIDITY = Validity(from_utc=START, until_utc=START + timedelta(days=30))


@given(day=st.floats(-20_000, 20_000), connected=st.booleans(), turned_away=st.booleans())
def test_it_asks_where_somebody_can_answer_and_only_with_a_reason(
    day: float, connected: bool, turned_away: bool
) -> None:
    now_utc = START + timedelta(days=day)
    way = choose_way(VALIDITY, now_utc, connected=connected, turned_away=turned_away)
    assert way != ("door" if connected else "broker")
    has_reason = day >= 20 if connected else turned_away or day >= 30
    assert (way is not None) == has_reason
