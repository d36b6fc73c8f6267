"""Statistics of a version: exact counts in one pass, and a sample of rows for the rest. Pure."""

import math
from collections.abc import Sequence
from typing import Any, Final, NamedTuple

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from lamplighter_protocol.canonical import decode, encode
from lamplighter_server.data.columns import MAX_CLASSES, Codes, Floats
from lamplighter_server.data.schema import Column, Schema

#: Distinct values are counted exactly up to this many.
MAX_DISTINCT: Final = 20_000
SHOWN_CATEGORIES: Final = 20
QUANTILES: Final = (0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99)
HISTOGRAM_BINS: Final = 20
#: No seed that somebody would draw data with: the sample would follow the values.
_SEED: Final = 0x73616D70
MAX_PROFILE_BYTES: Final = 256 * 1024 * 1024


class ColumnProfile(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Statistics of one column. A personal column has counts only."""

    name: str
    nulls: int
    nans: int = 0
    infinite: int = 0
    distinct: int | None = None
    """None if there are more than MAX_DISTINCT, or if it was not counted."""
    outside: int = 0
    """Cells that are not among the declared categories."""
    unique: bool = False
    """Whether no value was met twice, as far as distinct values were counted."""
    minimum: float | None = None
    maximum: float | None = None
    """Finite values; times in seconds since 1970."""
    mean: float | None = None
    deviation: float | None = None
    """The standard deviation of the finite values."""
    categories: tuple[tuple[str, int], ...] = ()
    """The most frequent values with their counts."""
    classes: tuple[tuple[str, int], ...] = ()
    """Of a label with few distinct values: every value with its count."""
    quantiles: tuple[float, ...] = ()
    """At QUANTILES, of the sample."""
    histogram: tuple[int, ...] = ()
    """Counts of the sample in HISTOGRAM_BINS equal bins between minimum and maximum."""


class Profile(msgspec.Struct, frozen=True, kw_only=True):
    """Statistics of a version."""

    rows: int
    sampled: int
    """Rows of the sample behind quantiles and histograms."""
    duplicate_rows: int
    """Rows that equal an earlier one, identifiers left out."""
    duplicate_identifiers: int
    """Rows whose identifier was met before."""
    columns: tuple[ColumnProfile, ...]

    def column(self, name: str) -> ColumnProfile:
        """The statistics of one stored column."""
        return next(column for column in self.columns if column.name == name)

    @property
    def encoded(self) -> bytes:
        """Its canonical bytes."""
        return encode(self)


def read_profile(raw: bytes) -> Profile:
    """Read statistics.

    Raises:
        LamplighterError: MESSAGE_TOO_LARGE or MESSAGE_MALFORMED.
    """
    return decode(raw, Profile, what="The statistics", max_bytes=MAX_PROFILE_BYTES)


class Profiled(NamedTuple):
    """What checks look at."""

    profile: Profile
    sample: pa.Table
    positions: Codes
    """Which rows the sample holds, counted from 0."""


class ColumnCounter:
    """Statistics of one column, fed with batch after batch.

    Mean and variance are merged by the formula of Chan, Golub and LeVeque (1979), which does not
    cancel as a plain sum of squares does.
    """

    def __init__(self, column: Column) -> None:
        self.column = column
        self.values: dict[Any, int] | None = None if column.kind in {"number", "tensor"} else {}
        self._nulls = self._outside = self._nans = self._infinite = self._finite = 0
        self._mean = self._squares = 0.0
        self._minimum, self._maximum = math.inf, -math.inf

    def add(self, cells: pa.Array) -> None:
        """Count some more cells."""
        self._nulls += cells.null_count
        if self.values is not None:
            self._add_values(cells)
        if self.column.categories:
            allowed = pa.array(self.column.categories, pa.string())
            known = pc.is_in(cells.drop_null().cast(pa.string()), value_set=allowed)
            self._outside += len(known) - known.true_count
        if is_numeric(self.column):
            self._add_numbers(numbers(cells, self.column))

    def profile(self, sample: Floats | None) -> ColumnProfile:
        """The statistics so far.

        Args:
            sample: The column's values in the sample of rows, if it is numeric.
        """
        known = self.values
        ranked = sorted(known.items(), key=lambda item: (-item[1], str(item[0]))) if known else []
        is_label = self.column.role == "label" and self.column.kind != "time"
        open_values = not self.column.hashed and self.column.kind in {"category", "boolean"}
        found = ColumnProfile(
            name=self.column.name,
            nulls=self._nulls,
            nans=self._nans,
            infinite=self._infinite,
            outside=self._outside,
            distinct=None if known is None else len(known),
            unique=bool(known) and all(count == 1 for _, count in ranked),
            categories=tuple(
                (str(value), count)
                for value, count in (ranked[:SHOWN_CATEGORIES] if open_values else ())
            ),
            classes=tuple(
                (str(value), count)
                for value, count in (ranked if is_label and len(ranked) <= MAX_CLASSES else ())
            ),
        )
        if sample is None or not self._finite:
            return found
        return msgspec.structs.replace(found, **self._moments(sample[np.isfinite(sample)]))

    def _moments(self, sample: Floats) -> dict[str, Any]:
        return {
            "minimum": self._minimum,
            "maximum": self._maximum,
            "mean": _if_finite(self._mean),
            "deviation": _if_finite(math.sqrt(self._squares / self._finite)),
            "quantiles": tuple(np.quantile(sample, QUANTILES, method="nearest").tolist())
            if len(sample)
            else (),
            "histogram": _histogram(sample, self._minimum, self._maximum),
        }

    def _add_values(self, cells: pa.Array) -> None:
        assert self.values is not None  # noqa: S101 - narrows the type
        for pair in pc.value_counts(cells.drop_null()):
            value = pair["values"].as_py()
            self.values[value] = self.values.get(value, 0) + pair["counts"].as_py()
            if len(self.values) > MAX_DISTINCT:
                self.values = None
                return

    def _add_numbers(self, values: Floats) -> None:
        nans = int(np.isnan(values).sum())
        finite = values[np.isfinite(values)]
        self._infinite += len(values) - nans - len(finite)
        self._nans += nans
        if not len(finite):
            return
        with np.errstate(over="ignore", invalid="ignore"):  # beyond float64 there is no mean
            mean, count = finite.mean(), len(finite)
            total = self._finite + count
            shift = mean - self._mean
            self._squares += float(((finite - mean) ** 2).sum())
            self._squares += float(shift * shift * self._finite * count / total)
            self._mean += float(shift * count / total)
        self._finite = total
        self._minimum = min(self._minimum, float(finite.min()))
        self._maximum = max(self._maximum, float(finite.max()))


def _if_finite(value: float) -> float | None:
    return value if math.isfinite(value) else None


def _histogram(values: Floats, low: float, high: float) -> tuple[int, ...]:
    """Counts in equal bins; halves, because the width of all float64 is none."""
    width = high / 2 - low / 2
    where = (values / 2 - low / 2) / width if width > 0 else np.zeros(len(values))
    bins = (where * HISTOGRAM_BINS).astype(np.int64).clip(0, HISTOGRAM_BINS - 1)
    return tuple(np.bincount(bins, minlength=HISTOGRAM_BINS).tolist())


def is_numeric(column: Column) -> bool:
    """Whether a column's values lie on a line: numbers, truth values and times."""
    return not column.hashed and column.kind in {"integer", "number", "boolean", "time"}


def numbers(cells: pa.Array, column: Column) -> Floats:
    """The cells that are there as float64; times in seconds since 1970."""
    there = cells.drop_null()
    if column.kind == "time":
        seconds: Floats = pc.cast(there, pa.int64()).to_numpy() / 1e6
        return seconds
    return np.asarray(there.to_numpy(zero_copy_only=False), dtype=np.float64)


class RowSample:
    """A uniform sample of rows, the same however rows are batched.

    Every row draws a number; those with the smallest are kept.

    Attributes:
        positions: Which rows they are, counted from 0.
    """

    def __init__(self, schema: Schema, wanted: int) -> None:
        self._wanted = wanted
        self._random = np.random.default_rng(_SEED)
        self._rows = pa.Table.from_batches([], schema.arrow)
        self._drawn = np.empty(0)
        self._seen = 0
        self.positions = np.empty(0, dtype=np.int64)

    def add(self, rows: pa.Table) -> None:
        """Look at some more rows."""
        drawn = self._random.random(rows.num_rows)
        limit = self._drawn.max() if len(self._drawn) >= self._wanted else 1.0
        candidates = np.flatnonzero(drawn < limit)
        self._rows = pa.concat_tables([self._rows, rows.take(candidates)])
        self._drawn = np.concatenate([self._drawn, drawn[candidates]])
        self.positions = np.concatenate([self.positions, candidates + self._seen])
        self._seen += rows.num_rows
        if len(self._drawn) > self._wanted:
            kept = np.sort(np.argpartition(self._drawn, self._wanted)[: self._wanted])
            self._rows = self._rows.take(kept).combine_chunks()
            self._drawn, self.positions = self._drawn[kept], self.positions[kept]

    @property
    def rows(self) -> pa.Table:
        """The sample in the order of the rows."""
        return self._rows.combine_chunks()


def build_profile(
    counters: Sequence[ColumnCounter],
    sample: pa.Table,
    *,
    rows: int,
    duplicate_rows: int,
    duplicate_identifiers: int,
) -> Profile:
    """Put the parts together."""
    return Profile(
        rows=rows,
        sampled=sample.num_rows,
        duplicate_rows=duplicate_rows,
        duplicate_identifiers=duplicate_identifiers,
        columns=tuple(
            counter.profile(
                numbers(sample[counter.column.name].combine_chunks(), counter.column)
                if is_numeric(counter.column)
                else None
            )
            for counter in counters
        ),
    )
