from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from sklearn.datasets import load_breast_cancer, load_iris, load_wine

from lamplighter_server.data.checks import Former, check_version
from lamplighter_server.data.checks.findings import RULES, Finding
from lamplighter_server.data.checks.leakage import explained_variance, predictability
from lamplighter_server.data.checks.noise import find_suspects
from lamplighter_server.data.declaration import Declaration, Limits
from lamplighter_server.data.inference import infer
from lamplighter_server.data.manifest import DatasetManifest
from lamplighter_server.data.places import Places
from lamplighter_server.data.profiling import profile_rows
from lamplighter_server.data.schema import Schema

Table = Mapping[str, Any]
Judge = Callable[..., dict[str, Finding]]


@pytest.fixture
def judge(places: Places) -> Judge:
    """Findings by code of a table, as it would be stored."""

    def run(
        table: Table,
        declared: Declaration | None = None,
        former: Table | None = None,
        **roles: Any,
    ) -> dict[str, Finding]:
        declaration = (declared or Declaration()).with_flags(roles)
        schema, profiled = stored(places, table, declaration)
        before = None
        if former is not None:
            old_schema, old = stored(places, former, declaration)
            before = Former(old_schema, old.sample)
        found = check_version(schema, profiled, declaration.checks, mixed={}, former=before)
        assert all(item.remedy for item in found)
        return {item.code: item for item in found}

    return run


def stored(places: Places, table: Table, declared: Declaration) -> tuple[Schema, Any]:
    rows = pa.table(dict(table))
    known = {name: wish for name, wish in declared.columns.items() if name in rows.column_names}
    schema = infer(rows.schema, {}, Declaration(columns=known))
    kept = rows.select([column.name for column in schema.stored]).cast(schema.arrow)
    parts = places.store.put_rows(kept.to_batches(), schema.arrow)
    return schema, profile_rows(places.store, DatasetManifest(columns=schema, parts=parts))


def clean_table(rows: int = 1000, seed: int = 0) -> dict[str, Any]:
    """Overlapping classes, a category, and noise: nothing to complain about."""
    random = np.random.default_rng(seed)
    label = random.integers(0, 2, rows)
    return {
        "level": random.normal(label * 1.5),
        "noise": random.normal(size=rows),
        "site": random.choice(["a", "b", "c"], rows),
        "label": np.where(label, "worn", "fine"),
    }


def test_clean_data_raises_nothing(judge: Judge) -> None:
    table = clean_table()
    assert judge(table, former=clean_table(seed=1)) == {}


def with_cells(table: dict[str, Any], name: str, values: Any) -> dict[str, Any]:
    return {**table, name: values}


BASE = clean_table()
N = len(BASE["noise"])
SPOILED = np.array([np.inf, *BASE["noise"][1:]])
REPEATED = {name: [*cells[:-100], *cells[:100]] for name, cells in BASE.items()}
GAPS = pa.array([None if row % 3 else 1.5 * row for row in range(N)])


@pytest.mark.parametrize(
    ("code", "blocks", "table"),
    [
        ("INFINITE", True, with_cells(BASE, "noise", SPOILED)),
        ("NOT_A_NUMBER", False, with_cells(BASE, "noise", np.where(SPOILED > 5, np.nan, SPOILED))),
        ("NULLS", False, with_cells(BASE, "noise", GAPS)),
        ("CONSTANT", False, with_cells(BASE, "noise", np.ones(N))),
        ("CONSTANT", False, with_cells(BASE, "site", ["a"] * N)),
        ("IDENTIFIER_LIKE", False, with_cells(BASE, "noise", np.arange(N))),
        ("PERSONAL", True, with_cells(BASE, "email", [f"p{row % 50}@x.org" for row in range(N)])),
        ("PERSONAL", True, with_cells(BASE, "who", [f"p{row % 50}@x.org" for row in range(N)])),
        ("LABEL_MISSING", True, with_cells(BASE, "label", [None, *BASE["label"][1:]])),
        ("ONE_CLASS", True, with_cells(BASE, "label", ["fine"] * N)),
        ("IMBALANCE", False, with_cells(BASE, "label", ["worn"] * 5 + ["fine"] * (N - 5))),
        ("LABEL_NONE", False, {"level": BASE["level"]}),
        ("LEAKAGE", True, with_cells(BASE, "bill", (BASE["label"] == "worn") * 3.0)),
        ("LEAKAGE", True, with_cells(BASE, "code", np.where(BASE["label"] == "worn", "x", "y"))),
        ("LEAKAGE", True, {"x": BASE["level"] * 2, "y": BASE["noise"], "label": BASE["level"]}),
        ("DUPLICATE_ROWS", False, REPEATED),
        ("DUPLICATE_IDENTIFIERS", True, with_cells(BASE, "id", [0, *range(N - 1)])),
        ("EMPTY", True, {name: cells[:0] for name, cells in BASE.items()}),
    ],
)  # fmt: skip
def test_what_is_wrong_is_found(judge: Judge, code: str, blocks: bool, table: Table) -> None:
    found = judge(table)
    assert found[code].blocks == blocks == RULES[code].blocks
    if blocks:
        lenient = Declaration(checks=Limits(allow=frozenset({code})))
        assert not judge(table, lenient)[code].blocks


def test_ten_thousand_categories_block(judge: Judge) -> None:
    rows = 20_000
    table = clean_table(rows) | {"part": [f"part {row // 2}" for row in range(rows)]}
    assert "10000" in judge(table)["MANY_CATEGORIES"].sentence
    assert "MANY_CATEGORIES" not in judge(table, part="group")
    huge = clean_table(30_000) | {"part": [f"part {row}" for row in range(30_000)]}
    assert judge(huge)["MANY_CATEGORIES"].blocks


def test_declared_values_are_held_to(judge: Judge) -> None:
    columns = {
        "level": {"min": -1},
        "site": {"categories": ["a", "b"]},
        "noise": {"required": True},
    }
    declared = declaration(columns)
    assert judge(BASE, declared)["RANGE"].column in {"level", "site"}
    gaps = with_cells(BASE, "noise", GAPS)
    assert judge(gaps, declared)["REQUIRED"].blocks


def declaration(columns: dict[str, Any]) -> Declaration:
    import msgspec

    return msgspec.convert({"columns": columns}, Declaration)


def test_time_that_leaks(judge: Judge) -> None:
    random = np.random.default_rng(0)
    when = np.datetime64("2026-01-01", "us") + np.arange(N) * np.timedelta64(3_600_000_000, "us")
    steady = {**BASE, "at": when}
    assert judge(steady) == {}
    later = {**steady, "repaired": when + np.timedelta64(1_000_000, "us")}
    assert judge(later, at="time")["TIME_LEAKAGE"].blocks
    trend = np.where(random.random(N) < np.linspace(0.1, 0.9, N), "worn", "fine")
    assert not judge({**steady, "label": trend})["TIME_ORDER"].blocks
    assert "TIME_ORDER" in judge(
        {"at": when, "y": BASE["noise"], "label": np.linspace(0, 1, N) + BASE["noise"] / 5}
    )


def test_changes_since_the_version_before(judge: Judge) -> None:
    shifted = with_cells(clean_table(seed=1), "noise", BASE["noise"] + 0.5)
    assert judge(shifted, former=BASE)["SHIFTED"].column == "noise"
    gone = {name: cells for name, cells in BASE.items() if name != "noise"}
    assert judge(gone, former=BASE)["SCHEMA_CHANGED"].blocks
    assert not judge(BASE, former=gone)["SCHEMA_DECLARED"].blocks
    other_kind = with_cells(BASE, "noise", [f"{value:.0f}" for value in BASE["noise"]])
    assert (
        "kind was number, is category" in judge(other_kind, former=BASE)["SCHEMA_CHANGED"].sentence
    )


@pytest.mark.parametrize("load", [load_iris, load_wine, load_breast_cancer])
def test_public_data_is_not_said_to_leak_or_be_noisy(judge: Judge, load: Any) -> None:
    data = load()
    names = [f"f{column}" for column in range(data.data.shape[1])]
    table = dict(zip(names, data.data.T, strict=True)) | {"label": data.target}
    assert not {"LEAKAGE", "LABEL_NOISE", "IMBALANCE"} & judge(table).keys()


CODES = arrays(np.int64, st.integers(20, 80), elements=st.integers(0, 3))


@given(CODES, st.integers(0, 2**32 - 1))
def test_scores_lie_between_nothing_and_everything(
    labels: npt.NDArray[np.int64], seed: int
) -> None:
    cells = np.random.default_rng(seed).integers(0, 5, len(labels))
    assert 0 <= predictability(cells, labels) <= 1
    assert 0 <= explained_variance(cells, labels.astype(float)) <= 1
    both = np.bincount(labels)
    if (both >= 20).sum() == len(both[both > 0]) >= 2:
        assert predictability(labels, labels) == 1


def test_columns_without_information_score_nothing() -> None:
    """Over 300 random columns of each sort: categories, counters, and values that never repeat."""
    random, rows, scores = np.random.default_rng(5), 400, []
    for _ in range(300):
        labels = random.choice(3, rows, p=[0.6, 0.3, 0.1])
        for cells in (random.integers(0, 64, rows), np.arange(rows), random.permutation(rows)):
            scores.append(predictability(cells, labels))
            scores.append(explained_variance(cells, random.normal(size=rows)))
    assert np.quantile(scores, 0.99) < 0.3
    assert max(scores) < 0.5, "far from the 0.98 that blocks"


def test_label_noise_is_hinted_at_where_it_is_and_not_where_it_is_not() -> None:
    """Rates over 12 draws: no alarm on clean or unlearnable labels, always one at 10 % flipped."""
    alarms = {"clean": 0, "unlearnable": 0, "imbalanced": 0, "flipped": 0}
    found_share = []
    for seed in range(12):
        random = np.random.default_rng(seed)
        label = random.integers(0, 2, 500)
        features = random.normal(size=(500, 4)) + 3 * label[:, None]
        flips = random.random(500) < 0.1
        tries = {
            "clean": (features, label),
            "unlearnable": (random.normal(size=(500, 4)), label),
            "imbalanced": (
                random.normal(size=(500, 4)),
                (random.random(500) < 0.1).astype(np.int64),
            ),
            "flipped": (features, np.where(flips, 1 - label, label)),
        }
        for name, (rows, labels) in tries.items():
            suspects = find_suspects(rows, labels)
            alarms[name] += suspects.skill >= 0.5 and len(suspects.rows) > 0.05 * 500
            if name == "flipped":
                found_share.append(np.isin(np.flatnonzero(flips), suspects.rows).mean())
    assert (alarms["clean"], alarms["unlearnable"], alarms["imbalanced"]) == (0, 0, 0)
    assert alarms["flipped"] >= 11
    assert np.mean(found_share) > 0.6


def test_false_alarms_of_shifts_keep_to_their_level(judge: Judge) -> None:
    """Two samples of the same source, 20 columns each: seldom anything in 20 comparisons."""
    alarms = 0
    for seed in range(20):
        random = np.random.default_rng(seed)
        first, second = ({f"f{i}": random.normal(size=300) for i in range(20)} for _ in range(2))
        alarms += "SHIFTED" in judge(first, former=second)
    assert alarms <= 2
