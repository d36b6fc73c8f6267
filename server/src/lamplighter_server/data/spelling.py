"""Cells that are spelled out, as in a CSV: what kinds they could be, and how to read them. Pure."""

from dataclasses import dataclass, field
from typing import Final, Literal

import pyarrow as pa
import pyarrow.compute as pc

from lamplighter_server.data.schema import Kind

Spelling = Literal["integer", "number", "boolean", "time", "category"]

NULLS: Final = ("", "NA", "N/A", "#N/A", "n/a", "NULL", "null", "None")
#: Digits that begin with a zero, or are too many for 64 bits, are codes: as numbers they would
#: become others.
_CODE: Final = r"^[+-]?(0[0-9]+|[0-9]{19,})$"
_INTEGER: Final = r"^[+-]?([1-9][0-9]{0,17}|0)$"
_NUMBER: Final = r"(?i)^[+-]?(([0-9]+\.?[0-9]*|\.[0-9]+)(e[+-]?[0-9]+)?|nan|inf|infinity)$"
_BOOLEAN: Final = r"(?i)^(true|false)$"
_TIME: Final = (
    r"^[0-9]{4}-[0-9]{2}-[0-9]{2}([ T][0-9]{2}:[0-9]{2}(:[0-9]{2}(\.[0-9]{1,6})?)?"
    r"(Z|[+-][0-9]{2}:?[0-9]{2})?)?$"
)
#: In the order in which they are tried; a cell has the first that fits.
_PATTERNS: Final[tuple[tuple[Spelling, str], ...]] = (
    ("category", _CODE),
    ("integer", _INTEGER),
    ("number", _NUMBER),
    ("boolean", _BOOLEAN),
    ("time", _TIME),
    ("category", ""),
)
#: Which spellings a kind can be read from.
READABLE: Final[dict[Kind, frozenset[Spelling]]] = {
    "integer": frozenset({"integer"}),
    "number": frozenset({"integer", "number"}),
    "boolean": frozenset({"boolean"}),
    "time": frozenset({"time"}),
    "category": frozenset({"integer", "number", "boolean", "time", "category"}),
}
_TRUTH: Final = ("integer", "number", "boolean", "time")


@dataclass
class Spellings:
    """What the cells of one column look like.

    Attributes:
        counts: Cells by spelling; empty ones are not counted.
        first_row: Where each spelling was met first, counted from 1.
    """

    counts: dict[Spelling, int] = field(default_factory=dict)
    first_row: dict[Spelling, int] = field(default_factory=dict)

    def add(self, cells: pa.Array, rows_before: int) -> None:
        """Look at some more cells, trimmed and without the spellings of null."""
        left = pc.is_valid(cells)
        for spelling, pattern in _PATTERNS:
            if not pc.any(left).as_py():
                return
            fits = pc.and_(left, _matches(cells, pattern))
            count = pc.sum(fits).as_py()
            if count:
                self.counts[spelling] = self.counts.get(spelling, 0) + count
                row = rows_before + pc.index(fits, pa.scalar(value=True)).as_py() + 1
                self.first_row[spelling] = min(row, self.first_row.get(spelling, row))
                left = pc.and_not(left, fits)

    @property
    def kind(self) -> Kind:
        """The narrowest kind that all cells can be read as."""
        for kind in _TRUTH:
            if self.counts and self.counts.keys() <= READABLE[kind]:
                return kind
        return "category"

    def strays(self, kind: Kind) -> tuple[int, int]:
        """How many cells cannot be read as `kind`, and the first such row (0 if none)."""
        strange = self.counts.keys() - READABLE[kind]
        rows = [self.first_row[spelling] for spelling in strange]
        return sum(self.counts[spelling] for spelling in strange), min(rows, default=0)

    @property
    def mostly(self) -> Kind | None:
        """The narrower kind that more than half of the cells of a mixed column have, if any."""
        total = sum(self.counts.values())
        for kind in _TRUTH:
            strays, _ = self.strays(kind)
            if 0 < strays < total / 2:
                return kind
        return None


def _matches(cells: pa.Array, pattern: str) -> pa.Array:
    return pc.fill_null(pc.match_substring_regex(cells, pattern), fill_value=False)


def clean(cells: pa.Array, nulls: tuple[str, ...]) -> pa.Array:
    """Cells without white space around them, and null where they spell it."""
    trimmed = pc.utf8_trim_whitespace(cells)
    empty = pc.is_in(trimmed, value_set=pa.array([*NULLS, *nulls], pa.string()))
    return pc.if_else(empty, pa.scalar(None, pa.string()), trimmed)


def read_cells(cells: pa.Array, kind: Kind) -> pa.Array:
    """Clean cells as values of a kind that all of them can be read as.

    Raises:
        pyarrow.ArrowInvalid: A date that no calendar has, or a number beyond 64 bits.
    """
    if kind == "integer":
        return pc.replace_substring_regex(cells, r"^\+", "").cast(pa.int64())
    if kind == "number":
        return pc.replace_substring_regex(cells, r"^\+", "").cast(pa.float64())
    if kind == "boolean":
        return pc.equal(pc.utf8_lower(cells), "true")
    if kind == "time":
        return _read_times(cells)
    return cells


def _read_times(cells: pa.Array) -> pa.Array:
    """A time without an offset is UTC."""
    zoned = pc.match_substring_regex(cells, r"(Z|[T ][^+-]*[+-][0-9:]+)$")
    bare = pc.if_else(zoned, pa.scalar(None, pa.string()), cells)
    offset = pc.if_else(zoned, cells, pa.scalar(None, pa.string()))
    utc = pa.timestamp("us", tz="UTC")
    return pc.coalesce(bare.cast(pa.timestamp("us")).cast(utc), offset.cast(utc))
