"""Training and held-out rows: stratified, by group, or by time. Pure."""

from typing import Final, Literal, NamedTuple

import numpy as np

from lamplighter_protocol.errors import LamplighterError
from lamplighter_server.data.columns import Codes, Floats
from lamplighter_server.data.fingerprints import Hashes

SplitKind = Literal["stratified", "group", "time", "random"]
HELD_OUT_SHARE: Final = 0.3


class Split(NamedTuple):
    """Positions of rows, ascending."""

    train: Codes
    held_out: Codes


def split_random(rows: int, *, seed: int, held_out_share: float) -> Split:
    """Rows by lot."""
    return _split(np.random.default_rng(seed).random(rows), held_out_share)


def split_stratified(labels: Codes, *, seed: int, held_out_share: float) -> Split:
    """Each class by lot, so that every one has its share on both sides.

    Args:
        labels: Class of each row, from 0.
        seed: For the lot.
        held_out_share: 0 to 1, of each class, rounded; a class with two rows has one on each side.

    Raises:
        LamplighterError: DATA_INVALID if a class has a single row.
    """
    random = np.random.default_rng(seed)
    held_out = np.zeros(len(labels), dtype=bool)
    for label in np.unique(labels):
        rows = np.flatnonzero(labels == label)
        if len(rows) < 2:
            raise LamplighterError("DATA_INVALID", f"Class number {label} has a single row.")
        wanted = min(max(1, round(held_out_share * len(rows))), len(rows) - 1)
        held_out[random.permutation(rows)[:wanted]] = True
    return Split(np.flatnonzero(~held_out), np.flatnonzero(held_out))


def split_groups(groups: Codes, *, seed: int, held_out_share: float) -> Split:
    """Whole groups by lot, until the share of rows is reached: no group is on both sides.

    Raises:
        LamplighterError: DATA_INVALID if there is only one group.
    """
    known, sizes = np.unique(groups, return_counts=True)
    if len(known) < 2:
        raise LamplighterError("DATA_INVALID", "There is only one group.")
    order = np.random.default_rng(seed).permutation(len(known))
    reached = np.cumsum(sizes[order]) / len(groups)
    # The number of groups that comes nearest to the share, and leaves one on each side.
    wanted = int(np.abs(reached[:-1] - held_out_share).argmin()) + 1
    held_out = np.isin(groups, known[order[:wanted]])
    return Split(np.flatnonzero(~held_out), np.flatnonzero(held_out))


def split_time(times: Floats, *, held_out_share: float) -> Split:
    """The latest rows are held out; rows of one moment stay together.

    Raises:
        LamplighterError: DATA_INVALID if a time is missing, or all are the same.
    """
    if not np.isfinite(times).all():
        raise LamplighterError("DATA_INVALID", "Some rows have no time.")
    moments = np.unique(times)
    if len(moments) < 2:
        raise LamplighterError("DATA_INVALID", "All rows have the same time.")
    border = np.quantile(times, 1 - held_out_share, method="inverted_cdf")
    border = min(border, moments[-2])
    return Split(np.flatnonzero(times <= border), np.flatnonzero(times > border))


def count_shared(split: Split, hashes: Hashes) -> int:
    """Held-out rows of which a copy is among the training rows."""
    return int(np.isin(hashes[split.held_out], hashes[split.train]).sum())


def _split(drawn: Floats, held_out_share: float) -> Split:
    wanted = min(max(1, round(held_out_share * len(drawn))), len(drawn) - 1)
    order = np.argsort(drawn, kind="stable")
    return Split(np.sort(order[wanted:]), np.sort(order[:wanted]))
