from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from lamplighter_protocol.binning import count_numeric, quantile_edges
from lamplighter_server.drift.statistics import (
    Difference,
    benjamini_hochberg,
    chi_square,
    effective_size,
    ks_binned,
)

NOMINAL = 0.05
counts = st.lists(st.integers(0, 500), min_size=2, max_size=30)
pairs = st.integers(2, 30).flatmap(
    lambda n: st.tuples(
        st.lists(st.integers(0, 500), min_size=n, max_size=n),
        st.lists(st.integers(0, 500), min_size=n, max_size=n),
    )
)
TESTS: list[Callable[..., Difference]] = [ks_binned, chi_square]


def rejections_ks(
    rng: np.random.Generator, n_reference: int, n: int, shift: float, trials: int
) -> float:
    def one() -> bool:
        reference = rng.normal(size=n_reference)
        edges = quantile_edges(reference)
        base = count_numeric(reference, edges)[:-1]
        return ks_binned(base, count_numeric(rng.normal(shift, size=n), edges)[:-1]).p < NOMINAL

    return sum(one() for _ in range(trials)) / trials


@pytest.mark.parametrize("n", [50, 200, 1000, 5000])
@pytest.mark.parametrize("n_reference", [1000, 5000])
def test_ks_on_64_bins_keeps_its_level(n_reference: int, n: int) -> None:
    rate = rejections_ks(np.random.default_rng(n), n_reference, n, 0.0, 500)
    assert rate <= 0.07


def test_ks_on_64_bins_finds_a_tenth_of_a_sigma() -> None:
    assert rejections_ks(np.random.default_rng(7), 10_000, 1000, 0.1, 300) > 0.5


def test_the_pooled_chi_square_keeps_its_level_and_finds_a_moved_category() -> None:
    rng = np.random.default_rng(3)
    shares = np.array([0.3, 0.2, 0.15, 0.1, 0.1, 0.05, 0.05, 0.03, 0.01, 0.01])
    moved = shares + np.array([-0.06, 0.06] + [0.0] * 8)

    def rate(now: npt.NDArray[np.float64], n: int) -> float:
        found = [
            chi_square(rng.multinomial(2000, shares).tolist(), rng.multinomial(n, now).tolist()).p
            for _ in range(1000)
        ]
        return float(np.mean(np.array(found) < NOMINAL))

    for n in (50, 300, 5000):
        assert rate(shares, n) <= 0.07
    assert rate(moved, 1000) > 0.5


def test_overdispersion_brings_grouped_rows_back_to_the_level() -> None:
    rng = np.random.default_rng(5)
    reference = rng.normal(size=5000)
    edges = quantile_edges(reference)
    base = count_numeric(reference, edges)[:-1]

    def rate(overdispersion: float) -> float:
        hits = 0
        for _ in range(400):
            values = np.repeat(rng.normal(size=100), 10)  # ten equal readings in a row
            now = count_numeric(values, edges)[:-1]
            hits += ks_binned(base, now, overdispersion=overdispersion).p < NOMINAL
        return hits / 400

    assert rate(1.0) > 0.3
    assert rate(10.0) <= 0.07


def test_pearson_without_rare_cells_is_the_textbook_test() -> None:
    a, b = [50, 60, 70], [80, 55, 65]
    assert chi_square(a, b).p == pytest.approx(stats.chi2_contingency([a, b], correction=False)[1])


def test_one_unseen_value_is_no_proof() -> None:
    assert chi_square([1000, 1000, 0], [100, 100, 1]).p > 0.5


@pytest.mark.parametrize("test", TESTS)
@given(pair=pairs)
def test_symmetric_bounded_and_quiet_on_equal_samples(
    test: Callable[..., Difference], pair: tuple[list[int], list[int]]
) -> None:
    a, b = pair
    forth, back = test(a, b), test(b, a)
    assert forth.effect == pytest.approx(back.effect)
    assert forth.p == pytest.approx(back.p)
    assert -1e-12 <= forth.effect <= 1 + 1e-12
    assert 0 <= forth.p <= 1
    same = test(a, a)
    assert same.effect == pytest.approx(0)
    assert same.p == pytest.approx(1)


@pytest.mark.parametrize("test", TESTS)
@given(a=counts)
def test_nothing_observed_is_no_difference(test: Callable[..., Difference], a: list[int]) -> None:
    assert test(a, [0] * len(a)) == Difference(0.0, 1.0)
    assert test([0] * len(a), a) == Difference(0.0, 1.0)


@given(a=st.integers(0, 10**6), b=st.integers(0, 10**6))
def test_two_samples_inform_less_than_the_smaller_one(a: int, b: int) -> None:
    assert 0 <= effective_size(a, b) <= min(a, b)


@given(st.lists(st.floats(0, 1), max_size=40), st.floats(0.001, 0.5))
def test_benjamini_hochberg_agrees_with_scipy(p_values: list[float], level: float) -> None:
    rejected = benjamini_hochberg(p_values, level)
    assert len(rejected) == len(p_values)
    if not p_values:
        return
    adjusted = stats.false_discovery_control(p_values)
    for mine, its in zip(rejected, adjusted, strict=True):
        assert mine == (its <= level) or its == pytest.approx(level)


def test_a_true_family_is_disturbed_at_the_level_only() -> None:
    rng = np.random.default_rng(11)
    disturbed = [any(benjamini_hochberg(rng.uniform(size=30).tolist(), 0.05)) for _ in range(4000)]
    assert np.mean(disturbed) <= 0.06
