import sqlite3
from datetime import datetime, timezone
from pathlib import Path

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lamplighter_agent.store.outbox import DROP_ORDER, Outbox
from lamplighter_protocol.errors import LamplighterError
from lamplighter_protocol.telemetry import Event, Stream

NOW = datetime(2026, 11, 23, tzinfo=timezone.utc)


def event(text: str = "") -> Event:
    return Event(at_utc=NOW, kind="worker", sentence=text)


def make(path: Path, max_bytes: int = 1_000_000, boot: str = "b1") -> Outbox:
    return Outbox(path / "outbox.sqlite3", boot=boot, max_bytes=max_bytes)


def test_messages_stay_until_they_are_acknowledged(tmp_path: Path) -> None:
    outbox = make(tmp_path)
    assert [outbox.put("event", event(str(n))) for n in range(3)] == [1, 2, 3]
    outbox.acknowledge({"event": 2})
    outbox.acknowledge({"event": 1})
    outbox.close()
    again = make(tmp_path, boot="b2")
    assert [(item.sequence, item.boot) for item in again.waiting("event", 0, 9)] == [(3, "b1")]
    assert again.put("event", event()) == 4
    again.acknowledge({"event": 2**64, "nonsense": 3})
    assert again.waiting("event", 0, 9) == []
    assert again.oldest("event") == 5
    again.close()


def test_sequences_are_never_used_twice(tmp_path: Path) -> None:
    seen = []
    for _ in range(3):
        outbox = make(tmp_path)
        seen.append(outbox.put("window", event()))
        outbox.acknowledge({"window": seen[-1]})
        outbox.close()
    assert seen == [1, 2, 3]


@settings(max_examples=30)
@given(st.lists(st.tuples(st.sampled_from(DROP_ORDER), st.integers(0, 300)), max_size=60))
def test_it_is_bounded_and_drops_the_least_dear_oldest_first(
    tmp_path_factory: pytest.TempPathFactory, puts: list[tuple[Stream, int]]
) -> None:
    outbox = make(tmp_path_factory.mktemp("outbox"), max_bytes=1000)
    put: dict[str, int] = dict.fromkeys(DROP_ORDER, 0)
    for stream, size in puts:
        windows_dropped = outbox.dropped["window"]
        outbox.put(stream, event("x" * size))
        put[stream] += 1
        held = {name: outbox.waiting(name, 0, 1000) for name in DROP_ORDER}
        assert sum(len(item.body) for items in held.values() for item in items) <= 1000
        for name, items in held.items():
            sequences = [item.sequence for item in items]
            assert sequences == list(range(put[name] - len(items) + 1, put[name] + 1))
            assert outbox.dropped[name] == put[name] - len(items)
            assert outbox.oldest(name) == put[name] - len(items) + 1
        if outbox.dropped["window"] > windows_dropped:
            assert not held["vitals"]
            assert not held["event"]
    outbox.close()


def test_what_was_dropped_is_remembered(tmp_path: Path) -> None:
    outbox = make(tmp_path, max_bytes=300)
    for _ in range(4):
        outbox.put("vitals", event("x" * 100))
    outbox.close()
    again = make(tmp_path, max_bytes=300)
    assert again.dropped == {"event": 0, "vitals": 3, "window": 0}
    again.close()


def test_a_body_is_the_message(tmp_path: Path) -> None:
    outbox = make(tmp_path)
    outbox.put("event", event("hello"))
    (item,) = outbox.waiting("event", 0, 1)
    assert msgspec.msgpack.decode(item.body, type=Event) == event("hello")
    outbox.close()


def test_a_damaged_outbox_is_set_aside_and_sequences_go_on_above(tmp_path: Path) -> None:
    outbox = make(tmp_path)
    before = outbox.put("event", event())
    outbox.close()
    (tmp_path / "outbox.sqlite3").write_bytes(b"no database" * 100)
    again = make(tmp_path)
    assert again.put("event", event()) > before
    assert (tmp_path / "outbox.sqlite3.damaged").exists()
    again.close()


def test_it_is_durable_against_power_cuts(tmp_path: Path) -> None:
    outbox = make(tmp_path)
    assert outbox._database.execute("PRAGMA synchronous").fetchone() == (2,)
    assert outbox._database.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    outbox.close()
    with pytest.raises(sqlite3.ProgrammingError):
        outbox.put("event", event())


@pytest.mark.parametrize(
    "damage",
    [
        "ALTER TABLE message RENAME COLUMN boot TO boat",
        "UPDATE stream SET next = 1",
        "UPDATE stream SET dropped = -1",
    ],
)
def test_an_outbox_with_a_damaged_row_or_schema_is_set_aside(tmp_path: Path, damage: str) -> None:
    outbox = make(tmp_path)
    outbox.put("event", event())
    outbox.close()
    database = sqlite3.connect(tmp_path / "outbox.sqlite3")
    with database:
        database.execute(damage)
    database.close()
    again = make(tmp_path)
    assert again.put("event", event()) > 1_000_000
    assert (tmp_path / "outbox.sqlite3.damaged").exists()
    again.close()


def test_an_outbox_that_cannot_be_opened_keeps_nothing_and_stops_nobody(tmp_path: Path) -> None:
    (tmp_path / "outbox.sqlite3").mkdir()
    outbox = make(tmp_path)
    with pytest.raises(LamplighterError, match="DISK_FAILED"):
        outbox.put("event", event())
    assert outbox.waiting("event", 0, 9) == []
    assert set(outbox.dropped.values()) == {0}
    outbox.acknowledge({"event": 7})
    outbox.close()
    assert not (tmp_path / "outbox.sqlite3.damaged").exists()


def test_a_message_that_the_disk_does_not_take_costs_no_number(tmp_path: Path) -> None:
    outbox = make(tmp_path)
    first = outbox.put("event", event())
    outbox._database.execute("PRAGMA query_only = 1")
    with pytest.raises(LamplighterError, match="DISK_FAILED"):
        outbox.put("event", event())
    with pytest.raises(LamplighterError, match="DISK_FAILED"):
        outbox.acknowledge({"event": first})
    outbox._database.execute("PRAGMA query_only = 0")
    assert outbox.put("event", event()) == first + 1
    outbox.close()


def test_a_full_database_is_a_full_disk(tmp_path: Path) -> None:
    outbox = make(tmp_path)
    outbox._database.execute("PRAGMA max_page_count = 5")
    with pytest.raises(LamplighterError, match="DISK_FULL"):
        outbox.put("event", event("x" * 100_000))
    outbox.close()
