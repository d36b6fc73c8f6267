import fcntl
import itertools
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.server.data.conftest import NOW, Adder, write_patients

from lamplighter_protocol.errors import LamplighterError
from lamplighter_server.data.log import DataLog
from lamplighter_server.data.manifest import read_reference
from lamplighter_server.data.parts import decode_part, encode_part, split_rows
from lamplighter_server.data.places import Places

ROLES = {"visit": "identifier", "patient": "drop", "ward": "group"}


@given(st.lists(st.integers(0, 700), max_size=6), st.integers(0, 2000))
def test_parts_do_not_depend_on_batches(sizes: list[int], seed: int) -> None:
    values = np.random.default_rng(seed).normal(size=sum(sizes))
    schema = pa.schema([pa.field("x", pa.float64())])
    whole = [pa.record_batch([pa.array(values)], schema=schema)]
    cuts = np.cumsum([0, *sizes])
    pieces = [whole[0].slice(a, b - a) for a, b in itertools.pairwise(cuts)]
    by_piece = [encode_part(table) for table in split_rows(pieces, schema)]
    assert by_piece == [encode_part(table) for table in split_rows(whole, schema)]
    rows = pa.concat_tables(decode_part(raw) for raw in by_piece)
    assert np.array_equal(rows["x"].to_numpy(), values)


def test_the_same_rows_are_the_same_version_whatever_they_came_from(
    places: Places, add: Adder, patients: Path, tmp_path: Path
) -> None:
    first = add(patients, **ROLES)
    again = add(patients, **ROLES)
    assert (first.new, again.new, again.version.number) == (True, False, 1)
    table = pa.Table.from_batches(
        [
            batch
            for part in places.store.manifest(first.version.sha256).parts
            for batch in places.store.rows_of(part).to_batches()
        ]
    )
    parquet = tmp_path / "same.parquet"
    pq.write_table(table.append_column("patient", pa.array(["x"] * table.num_rows)), parquet)
    reordered = pq.read_table(parquet).select(["visit", "patient", "dose", "ward", "label"])
    pq.write_table(reordered, parquet)
    assert add(parquet, name="other", **ROLES).version.sha256 == first.version.sha256


def test_a_longer_source_shares_the_parts_it_has_in_common(
    places: Places, add: Adder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lamplighter_server.data.parts.PART_ROWS", 256)
    short = add(write_patients(tmp_path / "a.csv", 512), **ROLES)
    long = add(write_patients(tmp_path / "b.csv", 1024), **ROLES)
    parts = [places.store.manifest(found.version.sha256).parts for found in (short, long)]
    assert [len(group) for group in parts] == [2, 4]
    assert parts[1][:2] == parts[0]
    assert places.store.find(read_reference("rows@v1")).sha256 == short.version.sha256


def test_what_is_refused_leaves_nothing_behind(places: Places, add: Adder, tmp_path: Path) -> None:
    bad = tmp_path / "bad.csv"
    bad.write_text("x,label\n1,a\ninf,b\n")
    with pytest.raises(LamplighterError) as caught:
        add(bad)
    assert (caught.value.code, "INFINITE: x" in caught.value.sentence) == ("DATA_REFUSED", True)
    assert places.store.registers() == []
    assert not [path for path in (places.store.folder / "blobs").rglob("*") if path.is_file()]


def test_a_damaged_file_is_found_and_replaced_by_adding_again(
    places: Places, add: Adder, patients: Path
) -> None:
    added = add(patients, **ROLES)
    part = places.store.manifest(added.version.sha256).parts[0]
    path = places.store.folder / "blobs" / part.sha256[:2] / part.sha256
    path.write_bytes(path.read_bytes()[:-1] + b"!")
    with pytest.raises(LamplighterError) as caught:
        places.store.rows_of(part)
    assert caught.value.code == "DATASET_DAMAGED"
    add(patients, **ROLES)
    assert places.store.rows_of(part).num_rows == 200


def test_one_writer_at_a_time(places: Places, add: Adder, patients: Path) -> None:
    places.store.folder.mkdir(parents=True)
    with (places.store.folder / "lock").open("wb") as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        with pytest.raises(LamplighterError) as caught:
            add(patients, **ROLES)
    assert caught.value.code == "CONFLICT"


def test_the_log_shows_tampering_and_survives_a_torn_line(places: Places) -> None:
    places.store.folder.mkdir(parents=True)
    log, path = DataLog(places.store.folder), places.store.folder / "log.jsonl"
    log.append("added", {"name": "a"}, NOW)
    path.write_bytes(path.read_bytes() + b'{"at_utc":"20')  # the power went
    log.append("expired", {"name": "a"}, NOW)
    assert [line.event for line in log.lines()] == ["added", "expired"]
    path.write_bytes(path.read_bytes().replace(b'"added"', b'"apped"'))
    with pytest.raises(LamplighterError) as caught:
        list(log.lines())
    assert caught.value.code == "AUDIT_BROKEN"


@pytest.mark.parametrize("text", ["", "A", "a@", "a@3", "a@v0", "a@v1\n", "../a", "a b"])
def test_references_that_are_none(text: str) -> None:
    with pytest.raises(LamplighterError) as caught:
        read_reference(text)
    assert caught.value.code == "NAME_INVALID"
