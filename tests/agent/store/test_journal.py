import hashlib
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from lamplighter_agent.core.state import ModelState
from lamplighter_agent.store.journal import Document, Journal, decode_journal, encode_journal
from lamplighter_protocol.assignment import Assignment, Generation

NOW = datetime(2026, 11, 23, tzinfo=timezone.utc)


def with_digest(body: bytes) -> bytes:
    return hashlib.sha256(body).hexdigest().encode() + b"\n" + body


DOCUMENT = Document(models={name: ModelState(model=name) for name in ("digits", "meters")})
RAW = encode_journal(DOCUMENT)


def test_what_is_written_is_read_after_a_restart(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "journal.json")
    journal.save_model(ModelState(model="digits"))
    assignment = Assignment(
        device="pi-1",
        fleet="main",
        generation=Generation(1, 7),
        issued_utc=NOW,
        expires_utc=NOW + timedelta(days=1),
        window_s=5,
        models=(),
    )
    journal.save_assignment(assignment, b"envelope")
    again = Journal(tmp_path / "journal.json").document
    assert again == journal.document
    assert (again.generation, again.assignment, again.window_s) == (
        Generation(1, 7),
        b"envelope",
        5,
    )
    journal.forget_model("digits")
    assert Journal(tmp_path / "journal.json").document.models == {}


@given(st.integers(0, len(RAW) - 1), st.integers(1, 255))
def test_no_changed_byte_is_ever_believed(at: int, change: int) -> None:
    damaged = bytearray(RAW)
    damaged[at] ^= change
    with pytest.raises(ValueError, match="checksum"):
        decode_journal(bytes(damaged))


@given(st.binary(max_size=200))
@example(b"")
@example(with_digest(b"{"))
@example(with_digest(b'{"models": 7}'))
@example(with_digest(b'{"x":' * 5000))
def test_bytes_that_are_no_journal_are_refused(raw: bytes) -> None:
    with pytest.raises(ValueError, match="checksum|nested|truncated|Expected"):
        decode_journal(raw)


@pytest.mark.parametrize(
    "damage", [b"", b"{", b"\xff\xfe", RAW[:-1], RAW.replace(b"meters", b"metres")]
)
def test_a_damaged_journal_is_set_aside_for_the_one_before(tmp_path: Path, damage: bytes) -> None:
    place = tmp_path / "journal.json"
    first = Journal(place)
    first.save_model(ModelState(model="digits"))
    first.save_model(ModelState(model="meters"))
    place.write_bytes(damage)

    journal = Journal(place)
    assert set(journal.document.models) == {"digits"}
    assert (tmp_path / "journal.json.damaged").read_bytes() == damage
    journal.save_model(ModelState(model="valves"))
    assert set(Journal(place).document.models) == {"digits", "valves"}


def test_where_both_are_damaged_the_agent_begins_anew(tmp_path: Path) -> None:
    place = tmp_path / "journal.json"
    first = Journal(place)
    for name in ("digits", "meters"):
        first.save_model(ModelState(model=name))
    for file in tmp_path.glob("journal.json*"):
        file.write_bytes(b"{}")
    assert Journal(place).document == Document()


def test_a_power_cut_between_the_renames_leaves_the_one_before(tmp_path: Path) -> None:
    place = tmp_path / "journal.json"
    journal = Journal(place)
    journal.save_model(ModelState(model="digits"))
    place.replace(tmp_path / "journal.json.before")
    (tmp_path / "journal.json.new").write_bytes(RAW[:30])
    assert set(Journal(place).document.models) == {"digits"}


def test_a_journal_in_the_place_of_a_directory_costs_no_start(tmp_path: Path) -> None:
    (tmp_path / "journal.json").mkdir()
    assert Journal(tmp_path / "journal.json").document == Document()
