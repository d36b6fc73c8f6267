from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest
from tests.server.data.conftest import PATIENT_ROLES, Adder

from lamplighter_protocol.errors import LamplighterError
from lamplighter_server.data import datasets


def code_of(reference: str) -> str:
    with pytest.raises(LamplighterError) as caught:
        datasets.open(reference)
    return caught.value.code


def test_a_dataset_for_training(add: Adder, patients: Path) -> None:
    version = add(patients, **PATIENT_ROLES).version
    found = datasets.open("rows")
    assert (found.sha256, found.rows, found.version) == (version.sha256, 200, 1)
    arrays = found.to_arrays()
    assert list(arrays.features) == ["dose"]
    assert arrays.label is not None
    assert (arrays.classes, set(np.unique(arrays.label))) == (("ill", "well"), {0, 1})
    assert set(found.column("ward")) == {"a", "b", "c"}
    split = found.split("stratified", 7)
    assert np.array_equal(split.train, datasets.open("rows@v1").split("stratified", 7).train)
    wards = found.column("ward")
    by_ward = found.split("group", 7)
    assert not set(wards[by_ward.train]) & set(wards[by_ward.held_out])
    people = found.column("patient")
    by_person = found.split("group", 7, by="patient")
    assert not set(people[by_person.train]) & set(people[by_person.held_out])
    by_visit = found.split("time", 7, by="visit", held_out_share=0.25)
    assert by_visit.held_out.tolist() == list(range(150, 200))
    assert found.check_split(split) == []
    with pytest.raises(LamplighterError):
        found.split("time", 7)
    with pytest.raises(LamplighterError):
        found.column("none")


def test_copies_across_a_split_are_told(add: Adder, tmp_path: Path) -> None:
    source = tmp_path / "rows.csv"
    source.write_text("x,label\n" + "1,a\n2,b\n2,a\n1,b\n" * 25)
    add(source)
    found = datasets.open("rows")
    (told,) = found.check_split(found.split("random", 0))
    assert (told.code, told.sentence[:2]) == ("DUPLICATES_ACROSS_SPLIT", "30")


def test_what_is_due_cannot_be_used(add: Adder, patients: Path) -> None:
    old = datetime.now(UTC) - timedelta(days=40)
    add(patients, now_utc=old, retention_days=30, **PATIENT_ROLES)
    assert code_of("rows") == "DATASET_EXPIRED"
    assert code_of("none") == "NOT_FOUND"
    assert code_of("Rows") == "NAME_INVALID"
