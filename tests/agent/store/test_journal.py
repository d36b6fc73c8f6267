from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest

from lamplighter_agent.core.state import ModelState
from lamplighter_agent.store.journal import Journal
from lamplighter_protocol.assignment import Assignment, Generation

NOW = datetime(2026, 11, 23, tzinfo=timezone.utc)


def test_what_is_written_is_read_after_a_restart(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "journal.json")
    assert (journal.next_report(), journal.next_report()) == (1, 2)
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


@pytest.mark.parametrize(
    "damage", [b"", b"{", b"\xff\xfe", b'{"models": 7}', b"[]", b'{"x":' * 5000]
)
def test_a_damaged_journal_is_set_aside(tmp_path: Path, damage: bytes) -> None:
    place = tmp_path / "journal.json"
    first = Journal(place)
    for _ in range(5):
        first.next_report()
    place.write_bytes(damage)
    journal = Journal(place)
    assert journal.was_damaged
    assert journal.model("digits") == ModelState(model="digits")
    assert journal.next_report() > 5
    assert (tmp_path / "journal.json.damaged").read_bytes() == damage
    assert not Journal(place).was_damaged


def test_a_write_that_was_cut_leaves_the_old_journal(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "journal.json")
    journal.next_report()
    (tmp_path / "journal.json.new").write_bytes(b'{"format": 1, "rep')
    assert Journal(tmp_path / "journal.json").document.report_counter == 1
