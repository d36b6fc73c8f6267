from collections.abc import Sequence
from datetime import UTC, datetime

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lamplighter_server.data.spelling import Spellings, clean, read_cells

INTEGERS = st.integers(-(10**18) + 1, 10**18 - 1)
FLOATS = st.floats(allow_nan=False)
TIMES = st.datetimes(timezones=st.just(UTC)).map(lambda moment: moment.replace(tzinfo=None))


def spelled(cells: Sequence[str | None], rows_before: int = 0) -> Spellings:
    found = Spellings()
    found.add(clean(pa.array(cells, pa.string()), ()), rows_before)
    return found


def read(cells: Sequence[str | None]) -> list[object]:
    return list(
        read_cells(clean(pa.array(cells, pa.string()), ()), spelled(cells).kind).to_pylist()
    )


@given(st.lists(INTEGERS, min_size=1))
def test_whole_numbers_come_back(values: list[int]) -> None:
    assert read([f" {value:+d} " for value in values]) == values


@given(st.lists(FLOATS, min_size=1))
def test_numbers_come_back_exactly(values: list[float]) -> None:
    texts = [repr(value) for value in values]
    assert spelled(texts).kind == "number"
    assert read(texts) == values


@given(st.lists(TIMES, min_size=1))
def test_times_without_an_offset_are_utc(values: list[datetime]) -> None:
    texts = [value.isoformat() for value in values]
    assert read(texts) == [value.replace(tzinfo=UTC) for value in values]


def test_offsets_are_honoured() -> None:
    expected = datetime(2026, 5, 1, 10, tzinfo=UTC)
    texts: list[str | None] = [
        "2026-05-01T12:00:00+02:00",
        "2026-05-01 10:00:00Z",
        "2026-05-01T10:00",
    ]
    assert read(texts) == [expected] * 3


@given(st.lists(st.one_of(INTEGERS.map(str), FLOATS.map(repr), st.text()), min_size=1), st.data())
def test_batches_do_not_matter(cells: list[str | None], data: st.DataObject) -> None:
    cut = data.draw(st.integers(0, len(cells)))
    whole, parts = spelled(cells), spelled(cells[:cut])
    parts.add(clean(pa.array(cells[cut:], pa.string()), ()), cut)
    assert (parts.counts, parts.first_row) == (whole.counts, whole.first_row)


@given(st.lists(st.text(), min_size=1))
def test_every_column_can_be_read_as_the_kind_that_was_found(cells: list[str | None]) -> None:
    found = spelled(cells)
    assert found.strays(found.kind) == (0, 0)
    assert len(read(cells)) == len(cells)


@pytest.mark.parametrize(
    ("cells", "kind"),
    [
        (["1", "2"], "integer"),
        (["1", "2.5", ""], "number"),
        (["1", "nan", "-inf"], "number"),
        (["true", "FALSE"], "boolean"),
        (["00123", "4"], "category"),  # a code: as a number it would lose its zeros
        (["12345678901234567890"], "category"),
        (["NA", "", "null"], "category"),
        (["2026-13-45"], "time"),
        (["a"], "category"),
    ],
)
def test_kinds(cells: list[str | None], kind: str) -> None:
    assert spelled(cells).kind == kind


def test_a_column_of_numbers_with_some_words_is_mixed() -> None:
    found = spelled(["1", "2", "about 3", "4"], rows_before=10)
    assert (found.kind, found.mostly, found.strays("integer")) == ("category", "integer", (1, 13))
    assert spelled(["a", "b", "3"]).mostly is None
