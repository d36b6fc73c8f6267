import pytest
from hypothesis import given
from hypothesis import strategies as st

from lamplighter_protocol.errors import LamplighterError
from lamplighter_server.blobs.ranges import read_range

SIZES = st.integers(0, 2**31)


@given(SIZES, st.integers(0, 2**33), st.integers(0, 2**33))
def test_first_and_last_name_what_the_file_has_of_them(size: int, first: int, last: int) -> None:
    header = f"bytes={first}-{last}"
    if last < first:
        assert read_range(header, size) is None
    elif first >= size:
        with pytest.raises(LamplighterError, match="RANGE_UNSATISFIABLE"):
            read_range(header, size)
    else:
        assert read_range(header, size) == range(first, min(last + 1, size))


@given(SIZES.filter(bool), st.integers(0, 2**33))
def test_an_open_end_is_the_end_of_the_file(size: int, first: int) -> None:
    assert read_range(f"bytes={first % size}-", size) == range(first % size, size)


@given(SIZES.filter(bool), st.integers(1, 2**33))
def test_a_suffix_counts_from_the_end(size: int, length: int) -> None:
    assert read_range(f"bytes=-{length}", size) == range(max(0, size - length), size)


@pytest.mark.parametrize("header", ["bytes=0-", "bytes=-0", "bytes=-5", "bytes=0-0"])
def test_an_empty_file_satisfies_no_range(header: str) -> None:
    with pytest.raises(LamplighterError, match="RANGE_UNSATISFIABLE"):
        read_range(header, 0)


@given(st.one_of(st.none(), st.text()), SIZES.filter(bool))
def test_whatever_else_is_said_gives_the_whole_file_or_part_of_it(
    header: str | None, size: int
) -> None:
    asked = read_range(header, size)
    assert asked is None or 0 <= asked.start < asked.stop <= size


@pytest.mark.parametrize(
    "header", ["bytes=0-1,3-4", "bytes=-", "lines=0-1", "bytes=9-1", "bytes=\u0663-"]
)
def test_what_may_be_passed_over_is(header: str) -> None:
    assert read_range(header, 100) is None
