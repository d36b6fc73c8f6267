from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lamplighter_protocol.errors import LamplighterError
from lamplighter_server.data.declaration import MAX_FILE_BYTES, Declaration, read_declaration

FILE = b"""
retention_days: 365
nulls: ["?"]
columns:
  age: {kind: integer, min: 0, max: 130, required: true}
  state: {role: label, categories: [fine, worn]}
checks:
  leakage_score: 0.9
  allow: [NULLS]
"""


def test_the_file_is_read_and_flags_count_more() -> None:
    found = read_declaration(FILE)
    assert (found.retention_days, found.nulls) == (365, ("?",))
    assert (found.columns["age"].max, found.columns["state"].role) == (130, "label")
    assert (found.checks.leakage_score, found.checks.allow) == (0.9, frozenset({"NULLS"}))
    changed = found.with_flags({"state": "group", "x": "drop"}, 30)
    assert (changed.columns["state"].role, changed.columns["x"].role) == ("group", "drop")
    assert changed.columns["state"].categories == ("fine", "worn")
    assert changed.retention_days == 30
    assert read_declaration(b"") == Declaration()


@pytest.mark.parametrize(
    "raw",
    [
        b"colums: {}",
        b"columns: {a: {role: king}}",
        b"columns: [a]",
        b"retention_days: 0",
        b"checks: {max_null_share: 2}",
        b"delimiter: ';;'",
        b"- 1",
        b"a: [",
        b"\xff\xff",
        b"!!python/object/apply:os.system ['true']",
        b"a: &x [1]\nb: *x",
        b"[" * 100_000,
    ],
)
def test_anything_else_is_refused_with_the_place(raw: bytes) -> None:
    with pytest.raises(LamplighterError) as caught:
        read_declaration(raw)
    assert caught.value.code == "DATA_INVALID"


def test_a_huge_file_is_not_parsed() -> None:
    with pytest.raises(LamplighterError) as caught:
        read_declaration(b" " * (MAX_FILE_BYTES + 1))
    assert caught.value.code == "MESSAGE_TOO_LARGE"


@given(st.binary(max_size=200))
def test_no_bytes_crash_it(raw: bytes) -> None:
    with suppress(LamplighterError):
        assert isinstance(read_declaration(raw), Declaration)
