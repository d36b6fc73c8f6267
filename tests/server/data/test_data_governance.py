from datetime import timedelta
from pathlib import Path

import msgspec
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.server.data.conftest import NOW, PATIENT_ROLES, Adder, write_patients

from lamplighter_protocol.errors import LamplighterError
from lamplighter_server.data.erasure import without_subject
from lamplighter_server.data.governance import erase, expire, find_due, give_up
from lamplighter_server.data.keyed import SubjectKey
from lamplighter_server.data.log import DataLog
from lamplighter_server.data.manifest import read_reference
from lamplighter_server.data.places import Places
from lamplighter_server.data.schema import Column, Schema


def stored_bytes(places: Places) -> bytes:
    """Everything in the store's folder, Parquet in plain sight."""
    raw = b""
    for path in sorted(places.store.folder.rglob("*")):
        if path.is_file():
            content = path.read_bytes()
            raw += content
            if content[:4] == b"PAR1":
                raw += str(pq.read_table(pa.BufferReader(content)).to_pydict()).encode()
    return raw


def hashes(places: Places, reference: str) -> list[str]:
    version = places.store.find(read_reference(reference))
    parts = places.store.manifest(version.sha256).parts
    return [value for part in parts for value in places.store.rows_of(part)["patient"].to_pylist()]


def test_personal_columns_are_hashed_with_a_key_that_lies_elsewhere(
    places: Places, add: Adder, patients: Path
) -> None:
    add(patients, **PATIENT_ROLES)
    assert b"P-7" not in stored_bytes(places)
    key_file = places.store.folder.parent / "subjects.key"
    key = SubjectKey(key_file.read_bytes())
    assert hashes(places, "rows").count(key.hash("P-7")) == 5
    assert (key_file.stat().st_mode & 0o777, key.id in key.hash("P-7")) == (0o600, False)


@given(st.text(), st.text(), st.binary(min_size=32, max_size=32))
def test_a_hash_tells_values_apart_as_people_read_them(one: str, two: str, raw: bytes) -> None:
    import unicodedata

    key = SubjectKey(raw)
    alike = unicodedata.normalize("NFC", one.strip()) == unicodedata.normalize("NFC", two.strip())
    assert (key.hash(one) == key.hash(two)) == alike
    assert key.hash_cells(pa.array([one, None, one])).to_pylist() == [
        key.hash(one),
        None,
        key.hash(one),
    ]


def test_numbers_are_hashed_as_they_are_written(places: Places, add: Adder, tmp_path: Path) -> None:
    table = pa.table({"patient": [42, None, 43.0], "x": [1.0, 2.0, 3.0], "label": ["a", "b", "a"]})
    pq.write_table(table, tmp_path / "numbers.parquet")
    add(tmp_path / "numbers.parquet", patient="personal")
    assert hashes(places, "rows")[0] == places.subjects.key().hash("42")


def test_an_erased_person_is_gone_from_every_version_and_does_not_come_back(
    places: Places, add: Adder, tmp_path: Path
) -> None:
    first = add(write_patients(tmp_path / "a.csv", 100), **PATIENT_ROLES).version
    second = add(write_patients(tmp_path / "b.csv", 200), **PATIENT_ROLES).version
    other = add(write_patients(tmp_path / "c.csv", 50, first=500), "other", **PATIENT_ROLES).version
    plain = add(tmp_path / "a.csv", "plain", visit="identifier", patient="drop").version
    gone = places.subjects.key().hash("P-7")
    with places.store.writing():
        erasure = erase(places.store, places.subjects, " P-7 ", NOW)
    assert [(item.version, item.rows_removed, item.replaced_by) for item in erasure.rewritten] == [
        (1, 5, 3),
        (2, 5, 4),
    ]
    assert erasure.unsearched == (f"plain@v{plain.number}",)
    assert (len(hashes(places, "rows")), len(hashes(places, "rows@v3"))) == (195, 95)
    assert gone not in hashes(places, "rows") + hashes(places, "rows@v3")
    for digest in (first.sha256, second.sha256):
        with pytest.raises(LamplighterError) as caught:
            places.store.manifest(digest)
        assert caught.value.code == "DATASET_DAMAGED", "the manifest is deleted with its rows"
    with pytest.raises(LamplighterError) as caught:
        places.store.find(read_reference("rows@v2"))
    assert (caught.value.code, "rows@v4" in caught.value.sentence) == ("DATASET_ERASED", True)
    assert places.store.find(read_reference("other")).sha256 == other.sha256

    again = add(tmp_path / "b.csv", **PATIENT_ROLES)
    assert (again.taken.left_out, again.new, again.version.number) == (5, False, 4)
    new_name = add(tmp_path / "b.csv", "elsewhere", **PATIENT_ROLES)
    assert gone not in hashes(places, "elsewhere")
    assert new_name.taken.left_out == 5
    line = list(DataLog(places.store.folder).lines())[4]
    assert (line.event, line.details["subject"]) == ("erased", gone)
    assert b"P-7" not in stored_bytes(places)


def test_erasing_twice_changes_nothing_and_the_last_row_leaves_no_version(
    places: Places, add: Adder, tmp_path: Path
) -> None:
    source = tmp_path / "one.csv"
    source.write_text("patient,x,label\nP-1,1,a\nP-1,2,b\n")
    add(source, patient="personal")
    for expected in (1, 0):
        with places.store.writing():
            erasure = erase(places.store, places.subjects, "P-1", NOW)
        assert len(erasure.rewritten) == expected
    with pytest.raises(LamplighterError) as caught:
        places.store.find(read_reference("rows@v1"))
    assert caught.value.code == "DATASET_ERASED"
    with pytest.raises(LamplighterError) as caught:
        add(source, patient="personal")
    assert "EMPTY" in caught.value.sentence


def test_without_the_key_nobody_is_taken_in_or_erased(
    places: Places, add: Adder, patients: Path
) -> None:
    add(patients, **PATIENT_ROLES)
    key_file = places.store.folder.parent / "subjects.key"
    secret = key_file.read_bytes()
    key_file.write_bytes(bytes(reversed(secret)))
    for _ in range(2):
        with pytest.raises(LamplighterError) as caught, places.store.writing():
            erase(places.store, places.subjects, "P-7", NOW)
        assert caught.value.code == "SUBJECT_KEY_MISSING"
        with pytest.raises(LamplighterError) as caught:
            add(patients, "more", **PATIENT_ROLES)
        assert caught.value.code == "SUBJECT_KEY_MISSING"
        key_file.unlink(missing_ok=True)


@given(
    st.lists(st.tuples(st.sampled_from("abc"), st.sampled_from(["a", "b", None])), max_size=20),
    st.sampled_from("abcd"),
)
def test_what_is_left_is_everything_else_in_its_order(
    rows: list[tuple[str, str | None]], whom: str
) -> None:
    columns = tuple(Column(name=name, kind="category", role="personal") for name in "pq")
    schema = Schema(columns=columns)
    table = pa.table({"p": [p for p, _ in rows], "q": [q for _, q in rows]}, schema.arrow)
    left = without_subject(table, schema, whom)
    assert left.to_pylist() == [{"p": p, "q": q} for p, q in rows if whom not in {p, q}]


def test_retention_ends_on_time_and_erasing_does_not_prolong_it(
    places: Places, add: Adder, patients: Path
) -> None:
    add(patients, retention_days=30, **PATIENT_ROLES)
    later = NOW + timedelta(days=20)
    with places.store.writing():
        erase(places.store, places.subjects, "P-7", later)
    assert list(find_due(places.store, NOW + timedelta(days=29))) == []
    due_utc = NOW + timedelta(days=30)
    assert [version.number for _, version in find_due(places.store, due_utc)] == [2]
    with places.store.writing():
        expire(places.store, due_utc)
    assert not [path for path in (places.store.folder / "blobs").rglob("*") if path.is_file()]
    with pytest.raises(LamplighterError) as caught:
        places.store.find(read_reference("rows@v2"))
    assert caught.value.code == "DATASET_EXPIRED"


def test_a_declaration_that_changes_renews_the_period_from_the_first_day(
    places: Places, add: Adder, patients: Path
) -> None:
    add(patients, **PATIENT_ROLES)
    later = add(patients, retention_days=10, now_utc=NOW + timedelta(days=5), **PATIENT_ROLES)
    assert (later.new, later.version.due_utc) == (False, NOW + timedelta(days=10))


def test_a_version_can_be_given_up_on_purpose(places: Places, add: Adder, patients: Path) -> None:
    version = add(patients, **PATIENT_ROLES).version
    with places.store.writing():
        give_up(places.store, "rows", version, NOW)
    assert places.store.register("rows").newest is None
    assert add(patients, **PATIENT_ROLES).version.number == 2
    assert msgspec.to_builtins(version)["number"] == 1
