import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lamplighter_protocol.errors import LamplighterError
from lamplighter_server.data.splits import (
    Split,
    count_shared,
    split_groups,
    split_random,
    split_stratified,
    split_time,
)

SHARES = st.floats(0.05, 0.95)
SEEDS = st.integers(0, 2**32 - 1)


def check_partition(split: Split, rows: int) -> None:
    assert len(split.train)
    assert len(split.held_out)
    assert sorted([*split.train, *split.held_out]) == list(range(rows))


@given(st.integers(2, 200), SEEDS, SHARES)
def test_by_lot(rows: int, seed: int, share: float) -> None:
    split = split_random(rows, seed=seed, held_out_share=share)
    check_partition(split, rows)
    assert abs(len(split.held_out) - share * rows) <= 1
    again = split_random(rows, seed=seed, held_out_share=share)
    assert np.array_equal(split.held_out, again.held_out)


@given(st.lists(st.integers(0, 3), min_size=1, max_size=60), SEEDS, SHARES)
def test_every_class_is_on_both_sides_with_its_share(
    labels: list[int], seed: int, share: float
) -> None:
    codes = np.array(labels + labels)  # two rows of each class at least
    split = split_stratified(codes, seed=seed, held_out_share=share)
    check_partition(split, len(codes))
    for label in np.unique(codes):
        rows, held = (codes == label).sum(), (codes[split.held_out] == label).sum()
        assert 0 < held < rows
        assert abs(held - share * rows) <= 1


@given(st.lists(st.integers(0, 9), min_size=2, max_size=60), SEEDS, SHARES)
def test_no_group_is_on_both_sides(groups: list[int], seed: int, share: float) -> None:
    codes = np.array(groups)
    if len(set(groups)) < 2:
        with pytest.raises(LamplighterError):
            split_groups(codes, seed=seed, held_out_share=share)
        return
    split = split_groups(codes, seed=seed, held_out_share=share)
    check_partition(split, len(codes))
    assert not set(codes[split.train]) & set(codes[split.held_out])
    largest = np.bincount(codes).max() / len(codes)
    assert abs(len(split.held_out) / len(codes) - share) <= largest


@given(st.lists(st.integers(0, 30), min_size=2, max_size=60), SHARES)
def test_held_out_is_later_than_all_training(moments: list[int], share: float) -> None:
    times = np.array(moments, dtype=np.float64)
    if len(set(moments)) < 2:
        with pytest.raises(LamplighterError):
            split_time(times, held_out_share=share)
        return
    split = split_time(times, held_out_share=share)
    check_partition(split, len(times))
    assert times[split.train].max() < times[split.held_out].min()


def test_what_cannot_be_split_is_refused() -> None:
    with pytest.raises(LamplighterError):
        split_stratified(np.array([0, 0, 1]), seed=0, held_out_share=0.3)
    with pytest.raises(LamplighterError):
        split_time(np.array([1.0, np.nan]), held_out_share=0.3)


def test_copies_across_the_split_are_counted() -> None:
    hashes = np.array([7, 8, 7, 7, 9], dtype=np.uint64)
    split = Split(np.array([0, 1]), np.array([2, 3, 4]))
    assert count_shared(split, hashes) == 2
