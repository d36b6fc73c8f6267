"""Two versions side by side: rows by identifier, schema, and how far columns have moved."""

import msgspec
import numpy as np

from lamplighter_server.data.buckets import Buckets
from lamplighter_server.data.checks.former import compare_schemas
from lamplighter_server.data.fingerprints import Hashes, combine, hash_rows
from lamplighter_server.data.manifest import DatasetManifest
from lamplighter_server.data.profiling import profile_rows
from lamplighter_server.data.shift import Shift, find_shifts
from lamplighter_server.data.store import DatasetStore


class RowChanges(msgspec.Struct, frozen=True, kw_only=True):
    """Rows of the second version against the first."""

    by: tuple[str, ...]
    """The identifiers; empty: whole rows were compared, and none can be told to be changed."""
    added: int
    removed: int
    changed: int
    same: int


class Diff(msgspec.Struct, frozen=True, kw_only=True):
    """Two versions side by side."""

    rows: RowChanges
    schema: tuple[str, ...]
    """One sentence for each change."""
    shifts: tuple[Shift, ...]
    """Of samples, the largest distance first."""


def compare(store: DatasetStore, before: DatasetManifest, after: DatasetManifest) -> Diff:
    """Compare two versions; memory holds a part, a bucket of row hashes and two samples.

    Raises:
        LamplighterError: DATASET_DAMAGED.
    """
    old, new = before.columns, after.columns
    in_both = {column.name for column in old.stored} & {column.name for column in new.stored}
    same_kind = [
        column
        for column in new.stored
        if column.name in in_both
        and old.column(column.name).arrow == column.arrow
        and old.column(column.name).hashed == column.hashed
    ]
    identifiers = [column.name for column in same_kind if column.role == "identifier"]
    return Diff(
        rows=_compare_rows(store, before, after, identifiers, sorted(in_both)),
        schema=tuple(change.sentence for change in compare_schemas(old, new)),
        shifts=tuple(
            find_shifts(
                [column for column in same_kind if column.role != "identifier"],
                profile_rows(store, before).sample,
                profile_rows(store, after).sample,
            )
        ),
    )


def _compare_rows(
    store: DatasetStore,
    before: DatasetManifest,
    after: DatasetManifest,
    identifiers: list[str],
    names: list[str],
) -> RowChanges:
    totals = np.zeros(4, dtype=np.int64)
    with Buckets(width=2) as old, Buckets(width=2) as new:
        for manifest, buckets in ((before, old), (after, new)):
            for part in manifest.parts:
                rows = store.rows_of(part)
                whole = hash_rows(rows, names)
                buckets.add(hash_rows(rows, identifiers) if identifiers else whole, whole)
        for first, second in zip(old, new, strict=True):
            totals += count_changes(first, second)
    added, removed, changed, same = (int(total) for total in totals)
    return RowChanges(
        by=tuple(identifiers), added=added, removed=removed, changed=changed, same=same
    )


def count_changes(before: Hashes, after: Hashes) -> tuple[int, int, int, int]:
    """Rows added, removed, changed and the same. Pure.

    Repeated identifiers are paired: first what is wholly equal, then the rest as changed.

    Args:
        before: Identifier and whole row of each, as hashes, shape (n, 2).
        after: The same of the other version.
    """
    same = _common(combine(*before.T), combine(*after.T))
    paired = _common(before[:, 0], after[:, 0])
    return len(after) - paired, len(before) - paired, paired - same, same


def _common(first: Hashes, second: Hashes) -> int:
    """How many values two lists share, counted as often as both have them."""
    known, counts = np.unique(first, return_counts=True)
    other, other_counts = np.unique(second, return_counts=True)
    _, here, there = np.intersect1d(known, other, assume_unique=True, return_indices=True)
    return int(np.minimum(counts[here], other_counts[there]).sum())
