import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from tests.protocol.conftest import make_manifest

from lamplighter_protocol import binning
from lamplighter_protocol.counts import (
    LATENCY_SLOTS,
    Counts,
    latency_quantile_s,
    total_variation,
)
from lamplighter_protocol.errors import LamplighterError

small = st.integers(0, 1000)


@st.composite
def counts(draw: st.DrawFn) -> Counts:
    return Counts(
        rows=draw(small),
        columns={"brightness": draw(st.lists(small, min_size=7, max_size=7))},
        predictions=draw(st.lists(st.lists(small, min_size=2, max_size=2), min_size=2, max_size=2)),
        latency=draw(st.lists(small, min_size=LATENCY_SLOTS, max_size=LATENCY_SLOTS)),
        errors=draw(st.dictionaries(st.sampled_from(["A", "B"]), small)),
    )


@given(counts(), counts(), counts())
def test_merge_is_associative_commutative_and_has_a_zero(a: Counts, b: Counts, c: Counts) -> None:
    assert a.merge(b) == b.merge(a)
    assert a.merge(b).merge(c) == a.merge(b.merge(c))
    assert a.merge(Counts.zero(make_manifest())) == a


def test_counts_of_another_shape_do_not_merge() -> None:
    a = Counts.zero(make_manifest())
    b = Counts.zero(make_manifest())
    b.columns["brightness"].append(0)
    with pytest.raises(LamplighterError, match="MESSAGE_MALFORMED"):
        a.merge(b)


values = arrays(np.float64, st.integers(1, 60), elements=st.floats(-10, 10) | st.just(np.nan))


@given(values, values)
def test_counting_in_parts_equals_counting_at_once(a: np.ndarray, b: np.ndarray) -> None:
    edges = (-1.0, 0.0, 1.0, 2.5)
    parts = [binning.count_numeric(part, edges) for part in (a, b)]
    whole = binning.count_numeric(np.concatenate([a, b]), edges)
    assert [x + y for x, y in zip(*parts, strict=True)] == whole
    assert sum(whole) == len(a) + len(b)


@pytest.mark.parametrize(
    ("value", "slot"), [(-2, 0), (-1, 1), (0, 2), (0.999, 2), (1, 3), (2.5, 4), (np.nan, 5)]
)
def test_a_bin_holds_its_lower_edge_and_not_its_upper(value: float, slot: int) -> None:
    counted = binning.count_numeric(np.array([value]), (-1.0, 0.0, 1.0, 2.5))
    assert counted.index(1) == slot
    assert len(counted) == 6


@given(arrays(np.float32, st.integers(1, 200), elements=st.floats(-5, 5, width=32)))
def test_the_reference_fills_its_own_bins(reference: np.ndarray) -> None:
    edges = binning.quantile_edges(reference, bins=16)
    counted = binning.count_numeric(reference, edges)
    assert counted[0] == counted[-2] == counted[-1] == 0
    assert sum(counted) == len(reference)
    assert list(edges) == sorted(set(edges))


def test_predictions_are_counted_by_label_and_confidence() -> None:
    counted = binning.count_predictions(
        np.array([0, 1, 1]), np.array([0.4, 0.5, 1.0]), (0.0, 0.5, 1.0), labels=2
    )
    assert counted == [[1, 0], [0, 2]]


def test_categories_keep_other_and_null_apart() -> None:
    assert binning.count_categories(["a", "b", "z", None], ("a", "b")) == [1, 1, 1, 1]


@given(st.floats(0, 1e4))
def test_every_latency_has_a_slot_and_the_quantile_covers_it(seconds: float) -> None:
    latency = binning.count_latencies([seconds])
    assert (len(latency), sum(latency)) == (LATENCY_SLOTS, 1)
    assert latency_quantile_s(latency, 0.99) >= seconds


@given(st.lists(small, min_size=3, max_size=3), st.lists(small, min_size=3, max_size=3))
def test_total_variation_is_a_bounded_symmetric_distance(a: list[int], b: list[int]) -> None:
    distance = total_variation(a, b)
    assert 0 <= distance <= 1 + 1e-9
    assert distance == pytest.approx(total_variation(b, a))
    assert total_variation(a, a) == 0
