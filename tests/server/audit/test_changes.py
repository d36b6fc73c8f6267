import itertools
import math
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lamplighter_protocol.canonical import encode, sha256
from lamplighter_server.audit.changes import MAX_VALUE_BYTES, Change, condense, plain

Row = dict[str, Any] | None
rows = st.none() | st.fixed_dictionaries({"a": st.integers(0, 2), "b": st.integers(0, 2)})


def step(before: Row, after: Row) -> Change:
    """As capture tells it: of a changed row, the columns that differ."""
    if before is not None and after is not None:
        changed = [name for name in before if before[name] != after[name]]
        before, after = ({name: row[name] for name in changed} for row in (before, after))
    return Change(("t", 1), "t/1", before, after)


@given(st.lists(rows, min_size=2, max_size=6))
def test_many_changes_of_a_row_are_one_from_its_first_to_its_last_state(history: list[Row]) -> None:
    steps = [
        step(before, after) for before, after in itertools.pairwise(history) if before != after
    ]
    first, last = history[0], history[-1]
    expected = [] if first == last else [step(first, last)]
    assert condense(steps) == expected


def test_rows_are_kept_apart() -> None:
    changes = [Change(("t", key), f"t/{key}", None, {"a": key}) for key in (1, 2)]
    assert condense(changes) == changes
    assert [change.action for change in changes] == ["create", "create"]


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=8,
)


@given(json_values | st.binary() | st.datetimes(timezones=st.just(UTC)))
def test_every_value_becomes_canonical_json_of_bounded_size(value: Any) -> None:
    assert len(encode(plain(value))) <= MAX_VALUE_BYTES


@pytest.mark.parametrize(
    ("value", "told"),
    [
        (True, True),
        (2**60, str(2**60)),
        (math.nan, "nan"),
        (datetime(2026, 5, 1, tzinfo=UTC), "2026-05-01T00:00:00Z"),
        ({"site": "mill"}, {"site": "mill"}),
        (b"raw", {"sha256": sha256(b"raw"), "size_bytes": 3}),
        ("x" * 5000, {"sha256": sha256(encode("x" * 5000)), "size_bytes": 5002}),
    ],
)
def test_values_are_told_readably(value: Any, told: Any) -> None:
    assert plain(value) == told
