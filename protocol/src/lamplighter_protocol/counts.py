"""Counts in signed bins (design 3.5): the unit of telemetry, merged exactly by addition."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import msgspec

from lamplighter_protocol.errors import LamplighterError
from lamplighter_protocol.names import Count

if TYPE_CHECKING:
    from lamplighter_protocol.bundle import Manifest

#: Log-spaced latency bins: four to each factor of ten, from 10 microseconds to 100 seconds.
LATENCY_EDGES_S: Final = tuple(10.0 ** (exponent / 4) for exponent in range(-20, 9))
LATENCY_SLOTS: Final = len(LATENCY_EDGES_S) + 1


class Counts(msgspec.Struct, kw_only=True, omit_defaults=True):
    """What was observed of a number of requests, as counts only.

    Attributes:
        rows: Input rows answered.
        columns: By column name, one count per slot (see Column.count_slots).
        predictions: One list per label with one count per confidence bin.
        latency: Requests per latency slot: below, the bins, above.
        errors: Failed requests by error code.
        compared: In shadow mode, rows that the active release has answered too.
        disagreed: Of these, rows to which the two gave different answers.
        missed: In shadow mode, requests whose copy was dropped on its way.
    """

    rows: Count
    columns: dict[str, list[Count]]
    predictions: list[list[Count]]
    latency: list[Count]
    errors: dict[str, Count]
    compared: Count = 0
    disagreed: Count = 0
    missed: Count = 0

    @classmethod
    def zero(cls, manifest: Manifest) -> Counts:
        """The neutral element for one release."""
        bins = len(manifest.answer.confidence_edges) - 1
        return cls(
            rows=0,
            columns={column.name: [0] * column.count_slots for column in manifest.columns},
            predictions=[[0] * bins for _ in manifest.answer.labels],
            latency=[0] * LATENCY_SLOTS,
            errors={},
        )

    def check_shape(self, manifest: Manifest) -> None:
        """Raise ValueError unless the counts fit the release's signed bins."""
        bins = len(manifest.answer.confidence_edges) - 1
        slots = {column.name: column.count_slots for column in manifest.columns}
        fits = (
            {name: len(counts) for name, counts in self.columns.items()} == slots
            and [len(row) for row in self.predictions] == [bins] * len(manifest.answer.labels)
            and len(self.latency) == LATENCY_SLOTS
        )
        if not fits:
            raise ValueError(f"counts do not fit {manifest.model} release {manifest.release}")

    def merge(self, other: Counts) -> Counts:
        """Add two counts of the same release: associative, commutative, exact.

        Raises:
            LamplighterError: MESSAGE_MALFORMED if their shapes differ.
        """
        try:
            if self.columns.keys() != other.columns.keys():
                raise ValueError("columns differ")
            return Counts(
                rows=self.rows + other.rows,
                columns={
                    name: _add(self.columns[name], other.columns[name]) for name in self.columns
                },
                predictions=[
                    _add(a, b) for a, b in zip(self.predictions, other.predictions, strict=True)
                ],
                latency=_add(self.latency, other.latency),
                errors={
                    code: self.errors.get(code, 0) + other.errors.get(code, 0)
                    for code in sorted(self.errors.keys() | other.errors.keys())
                },
                compared=self.compared + other.compared,
                disagreed=self.disagreed + other.disagreed,
                missed=self.missed + other.missed,
            )
        except ValueError as error:
            raise LamplighterError(
                "MESSAGE_MALFORMED", f"Counts of different shape: {error}."
            ) from error

    @property
    def requests(self) -> int:
        """Requests answered or failed."""
        return sum(self.latency) + sum(self.errors.values())

    @property
    def predicted(self) -> list[int]:
        """Rows by predicted label."""
        return [sum(row) for row in self.predictions]


def _add(a: list[int], b: list[int]) -> list[int]:
    return [x + y for x, y in zip(a, b, strict=True)]


def latency_quantile_s(latency: list[int], quantile: float) -> float:
    """The upper edge of the bin that holds the quantile; infinity above the last edge.

    Args:
        latency: Counts per latency slot.
        quantile: 0 to 1.
    """
    rank = quantile * sum(latency)
    seen = 0
    for slot, count in enumerate(latency):
        seen += count
        if count and seen >= rank:
            return LATENCY_EDGES_S[slot] if slot < len(LATENCY_EDGES_S) else float("inf")
    return 0.0


def total_variation(a: list[int], b: list[int]) -> float:
    """Half the sum of absolute differences of two count vectors' shares: 0 equal, 1 disjoint.

    An empty vector has no shares; the distance to it is 0.
    """
    n_a, n_b = sum(a), sum(b)
    if not n_a or not n_b:
        return 0.0
    return sum(abs(x / n_a - y / n_b) for x, y in zip(a, b, strict=True)) / 2
