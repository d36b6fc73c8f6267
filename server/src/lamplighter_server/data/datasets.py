"""Datasets for training: `datasets.open("readings@v3")`."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from lamplighter_protocol.errors import LamplighterError
from lamplighter_server.clock import utc_now
from lamplighter_server.data.checks.findings import Finding, finding
from lamplighter_server.data.columns import (
    Floats,
    is_classification,
    to_codes,
    to_floats,
    to_tensor,
)
from lamplighter_server.data.fingerprints import hash_rows
from lamplighter_server.data.manifest import DatasetManifest, Version, read_reference
from lamplighter_server.data.places import find_places
from lamplighter_server.data.profile import is_numeric
from lamplighter_server.data.schema import Column, Schema
from lamplighter_server.data.splits import (
    HELD_OUT_SHARE,
    Split,
    SplitKind,
    count_shared,
    split_groups,
    split_random,
    split_stratified,
    split_time,
)
from lamplighter_server.data.store import DatasetStore

Array = npt.NDArray[Any]


@dataclass(frozen=True)
class Arrays:
    """A dataset in memory.

    Attributes:
        features: By column, first dimension the row: numbers and times as float64 (NaN where
            empty), categories as objects (None where empty), tensors and images in their shape.
        label: Positions in `classes`, or float64 for a quantity; None without a label.
        classes: The label's classes in sorted order; empty for a quantity.
    """

    features: dict[str, Array]
    label: Array | None
    classes: tuple[str, ...]


class Dataset:
    """One version of a dataset, read from a store."""

    def __init__(self, store: DatasetStore, name: str, version: Version) -> None:
        self._store = store
        self._manifest: DatasetManifest = store.manifest(version.sha256)
        self.name = name
        self.version = version.number

    @property
    def sha256(self) -> str:
        """The digest that lineage names."""
        return self._manifest.sha256

    @property
    def schema(self) -> Schema:
        """Its columns."""
        return self._manifest.columns

    @property
    def rows(self) -> int:
        """How many rows it has."""
        return self._manifest.rows

    def batches(self, columns: Sequence[str] | None = None) -> Iterator[pa.RecordBatch]:
        """All rows in their order; memory holds one part.

        Raises:
            LamplighterError: DATASET_DAMAGED, or NOT_FOUND for an unknown column.
        """
        wanted = [self.schema.column(name).name for name in columns] if columns else None
        for part in self._manifest.parts:
            rows = self._store.rows_of(part)
            yield from (rows if wanted is None else rows.select(wanted)).to_batches()

    def to_arrays(self) -> Arrays:
        """Everything in memory.

        Raises:
            LamplighterError: DATASET_DAMAGED, or DATA_INVALID if images differ in size.
        """
        label = self.schema.label
        target, classes = (None, ()) if label is None else self._target(label)
        features = {
            column.name: self._values(column) for column in self.schema.with_role("feature")
        }
        return Arrays(features, target, classes)

    def column(self, name: str) -> Array:
        """One column in memory, such as a group or a time; as in `Arrays.features`.

        Raises:
            LamplighterError: NOT_FOUND, DATASET_DAMAGED or DATA_INVALID.
        """
        return self._values(self.schema.column(name))

    def split(
        self,
        kind: SplitKind,
        seed: int,
        *,
        by: str | None = None,
        held_out_share: float = HELD_OUT_SHARE,
    ) -> Split:
        """Training and held-out rows; the same arguments give the same rows.

        Args:
            kind: `stratified` by the label's classes, whole `group`s, or the latest by `time`;
                `random` for quantities.
            seed: For the lot.
            by: The column of groups or times; that with the role by default.
            held_out_share: Above 0, below 1.

        Raises:
            LamplighterError: DATA_INVALID if the dataset cannot be split so.
        """
        if not 0 < held_out_share < 1 or self.rows < 2:
            raise LamplighterError("DATA_INVALID", f"{self.rows} rows cannot be split so.")
        if kind == "random":
            return split_random(self.rows, seed=seed, held_out_share=held_out_share)
        if kind == "time":
            times = self._floats(self._named(by, "time"))
            return split_time(times, held_out_share=held_out_share)
        if kind == "group":
            codes, _ = to_codes(self._table, self._named(by, "group"))
            return split_groups(codes, seed=seed, held_out_share=held_out_share)
        label = self.schema.label
        if label is None or not is_classification(self._table, label):
            raise LamplighterError("DATA_INVALID", "Only classes can be stratified.")
        codes, _ = to_codes(self._table, label)
        return split_stratified(codes, seed=seed, held_out_share=held_out_share)

    def check_split(self, split: Split) -> list[Finding]:
        """Whether held-out rows have copies among the training rows."""
        names = [column.name for column in self.schema.with_role("feature")]
        shared = count_shared(split, hash_rows(self._table, names))
        if not shared:
            return []
        return [
            finding(
                "DUPLICATES_ACROSS_SPLIT",
                f"{shared} of {len(split.held_out)} held-out rows are also among those to train "
                "with.",
            )
        ]

    @cached_property
    def _table(self) -> pa.Table:
        return pa.Table.from_batches(self.batches(), self.schema.arrow).combine_chunks()

    def _named(self, by: str | None, role: str) -> Column:
        if by is not None:
            return self.schema.column(by)
        found = [column for column in self.schema.stored if column.role == role]
        if len(found) != 1:
            raise LamplighterError(
                "DATA_INVALID", f"{len(found)} columns have the role {role}: say which."
            )
        return found[0]

    def _target(self, label: Column) -> tuple[Array, tuple[str, ...]]:
        if is_classification(self._table, label):
            return to_codes(self._table, label)
        return self._floats(label), ()

    def _floats(self, column: Column) -> Floats:
        if not is_numeric(column):
            raise LamplighterError("DATA_INVALID", f"{column.name} holds no numbers or times.")
        return to_floats(self._table, column)

    def _values(self, column: Column) -> Array:
        if is_numeric(column):
            return to_floats(self._table, column)
        if column.kind == "tensor":
            return to_tensor(self._table, column)
        if column.kind == "image":
            return self._images(column)
        return np.array(self._table[column.name].to_pylist(), dtype=object)

    def _images(self, column: Column) -> Array:
        from lamplighter_server.data.sources.images import decode_image

        if not column.shape:
            raise LamplighterError("DATA_INVALID", f"{column.name}: the images differ in size.")
        digests = self._table[column.name].to_pylist()
        pixels = np.empty((len(digests), *column.shape), dtype=np.uint8)
        for row, digest in enumerate(digests):
            image = decode_image(self._store.read(digest), digest[:12])
            pixels[row] = np.asarray(image).reshape(column.shape)
        return pixels


def open(name_or_reference: str) -> Dataset:  # noqa: A001 - read as datasets.open
    """The newest version of `name`, or the one that `name@v3` names.

    Raises:
        LamplighterError: NOT_FOUND, NAME_INVALID, DATASET_ERASED, DATASET_EXPIRED (also when its
            retention period has ended and it was not deleted yet), or DATASET_DAMAGED.
    """
    reference = read_reference(name_or_reference)
    store = find_places().store
    version = store.find(reference)
    if version.is_due(utc_now()):
        raise LamplighterError(
            "DATASET_EXPIRED",
            f"The retention period of {reference.name}@v{version.number} has ended.",
        )
    return Dataset(store, reference.name, version)
