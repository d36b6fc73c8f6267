from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from lamplighter_server.releases.comparison import Row, compare

LEAVES = st.none() | st.booleans() | st.integers() | st.text(max_size=5) | st.lists(st.integers())
FACTS = st.dictionaries(st.text(max_size=5), LEAVES, max_size=5)


def release(accuracy: float, seed: int, *variants: str) -> dict[str, Any]:
    return {
        "evidence": {"estimator": {"accuracy": accuracy}},
        "manifest": {
            "task": "classification",
            "variants": [{"name": name, "runtime": "onnxruntime"} for name in variants],
            "lineage": {"seed": seed, "dataset_sha256": "a" * 64},
        },
    }


def test_what_was_measured_stands_first_and_numbers_show_how_far_they_moved() -> None:
    rows = compare(release(0.9, 1, "onnx-fp32"), release(0.95, 1, "onnx-fp32", "onnx-int8"))
    assert rows[0] == Row("evidence.estimator.accuracy", 0.9, 0.95)
    assert rows[0].change == "+0.05"
    by_name = {row.name: row for row in rows}
    assert by_name["variants.onnx-int8.name"].one is None
    assert by_name["variants.onnx-int8.name"].change == "differs"
    assert not by_name["lineage.seed"].differs


@given(one=FACTS, other=FACTS)
def test_a_comparison_mirrors_and_finds_just_what_differs(
    one: dict[str, Any], other: dict[str, Any]
) -> None:
    left, right = ({"evidence": facts, "manifest": {}} for facts in (one, other))
    rows = compare(left, right)
    mirrored = {(row.name, row.other, row.one) for row in compare(right, left) if _plain(row)}
    assert {tuple(row) for row in rows if _plain(row)} == mirrored
    differing = {row.name for row in rows if row.differs}
    assert differing == {
        f"evidence.{name}" for name in one.keys() | other.keys() if one.get(name) != other.get(name)
    }


def _plain(row: Row) -> bool:
    return not isinstance(row.one, list) and not isinstance(row.other, list)
