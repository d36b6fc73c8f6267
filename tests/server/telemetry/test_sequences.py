from hypothesis import given
from hypothesis import strategies as st

from lamplighter_server.telemetry.sequences import NOTHING, Progress, advance


@given(data=st.data(), n=st.integers(1, 30))
def test_any_order_with_repeats_stores_each_once(data: st.DataObject, n: int) -> None:
    deliveries = data.draw(
        st.permutations([*range(n), *data.draw(st.lists(st.integers(0, n - 1)))])
    )
    progress, stored = Progress(), []
    for sequence in deliveries:
        if not progress.has(sequence):
            stored.append(sequence)
        progress = advance(progress, sequence, oldest=0)
        assert progress.contiguous >= NOTHING
        assert all(item > progress.contiguous + 1 for item in progress.seen)
        assert all(progress.has(item) for item in stored)
    assert sorted(stored) == list(range(n))
    assert progress == Progress(n - 1)


@given(data=st.data(), n=st.integers(1, 30))
def test_what_the_sender_gave_up_does_not_hold_up_the_rest(data: st.DataObject, n: int) -> None:
    """A bounded outbox drops its oldest: what is sent names the oldest that is left."""
    oldest = data.draw(st.integers(0, n - 1))
    kept = data.draw(st.permutations(range(oldest, n)))
    progress = Progress()
    for sequence in kept:
        progress = advance(progress, sequence, oldest)
    assert progress == Progress(n - 1)


@given(
    st.lists(st.tuples(st.integers(0, 40), st.integers(0, 60)), max_size=40),
)
def test_the_cursor_never_goes_back(messages: list[tuple[int, int]]) -> None:
    progress = Progress()
    for sequence, oldest in messages:
        after = advance(progress, sequence, oldest)
        assert after.contiguous >= progress.contiguous
        assert after.highest >= progress.highest
        assert after.has(sequence)
        progress = after
