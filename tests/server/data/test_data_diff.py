from pathlib import Path

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from tests.server.data.conftest import PATIENT_ROLES, Adder, write_patients

from lamplighter_server.data.buckets import Buckets
from lamplighter_server.data.diff import compare, count_changes
from lamplighter_server.data.manifest import read_reference
from lamplighter_server.data.places import Places

ROWS = st.dictionaries(st.integers(0, 30), st.integers(0, 3))


@given(ROWS, ROWS)
def test_changes_by_identifier(before: dict[int, int], after: dict[int, int]) -> None:
    first, second = (
        np.array(list(rows.items()), dtype=np.uint64).reshape(-1, 2) for rows in (before, after)
    )
    added, removed, changed, same = count_changes(first, second)
    assert added == len(after.keys() - before.keys())
    assert removed == len(before.keys() - after.keys())
    assert same == sum(before.get(key) == value for key, value in after.items())
    assert changed == len(before.keys() & after.keys()) - same


@given(st.lists(st.integers(0, 2**64 - 1)), st.integers(0, 20))
def test_buckets_hold_everything_and_count_repeats(values: list[int], cut: int) -> None:
    hashes = np.array(values, dtype=np.uint64)
    with Buckets(width=1) as buckets:
        buckets.add(hashes[:cut])
        buckets.add(hashes[cut:])
        assert sorted(int(value) for found in buckets for value in found[:, 0]) == sorted(values)
        assert buckets.count_repeated() == len(values) - len(set(values))


def test_two_versions_side_by_side(places: Places, add: Adder, tmp_path: Path) -> None:
    add(write_patients(tmp_path / "a.csv", 1000), **PATIENT_ROLES)
    lines = (tmp_path / "a.csv").read_text().splitlines()
    head, rows = lines[0], [line.split(",") for line in lines[1:]]
    for row in rows[100:]:
        row[2] = str(float(row[2]) + 1)
    moved = [",".join(row) for row in rows[50:]] + ["5000,P-9,0.1,a,well"]
    (tmp_path / "b.csv").write_text("\n".join([head, *moved]))
    assert "SHIFTED" in {
        item.code for item in add(tmp_path / "b.csv", **PATIENT_ROLES).taken.findings
    }
    store = places.store
    old, new = (store.manifest(store.find(read_reference(f"rows@v{n}")).sha256) for n in (1, 2))
    diff = compare(store, old, new)
    assert (diff.rows.added, diff.rows.removed, diff.rows.changed, diff.rows.same) == (
        1,
        50,
        900,
        50,
    )
    assert (diff.rows.by, diff.schema) == (("visit",), ())
    assert [shift.column for shift in diff.shifts if shift.significant] == ["dose"]
    unchanged = compare(store, new, new)
    assert (unchanged.rows.same, unchanged.rows.changed) == (951, 0)
    assert all(shift.effect == 0 for shift in unchanged.shifts)
