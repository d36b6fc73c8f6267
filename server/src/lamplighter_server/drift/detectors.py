"""From counts to findings: what moved, where, how far, since when."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Final, Literal, TypeVar

import msgspec
import numpy as np

from lamplighter_protocol.bundle import Column, Manifest
from lamplighter_protocol.counts import Counts
from lamplighter_server.drift.statistics import (
    Difference,
    benjamini_hochberg,
    chi_square,
    effective_size,
    ks_binned,
)

MIN_ROWS: Final = 300
"""Fewer rows are not judged; they wait for more."""
MIN_EFFECT: Final = 0.1
"""A smaller distance is no finding, however certain it is."""
QUIET_P: Final = 0.05
MAX_LEVEL: Final = 0.05
PREDICTION: Final = "prediction"
"""The name under which predicted labels are compared, beside the input columns."""
_DAY_S: Final = 86_400

Measure = Literal["ks", "total-variation", "null-share"]
Place = TypeVar("Place")


class Comparison(msgspec.Struct, frozen=True, kw_only=True):
    """One column of one sample against the reference."""

    column: str
    measure: Measure
    effect: float
    """The distance, 0 to 1."""
    p: float
    direction: str
    """`lower`, `higher`, or `more ...` with the category that gained most."""
    n: int
    """Observed rows."""
    weight: float
    """effect x the square root of the effective sample size: how strongly the data says so."""

    @property
    def matters(self) -> bool:
        """Whether the distance is large enough to bother a person."""
        return self.effect >= MIN_EFFECT


class Verdict(msgspec.Struct, frozen=True, kw_only=True):
    """What one place shows."""

    findings: tuple[Comparison, ...]
    """Certain and large; the largest effect first. Empty: no drift is claimed."""
    quiet: bool
    """Whether nothing even looks different; an open alert ends after several of these."""


def family_level(alarms_per_day: float, interval_s: float) -> float:
    """The level of one decision so that false alarms keep to a budget.

    With every reference true, Benjamini-Hochberg at this level raises anything in at most that
    share of the decisions.

    Args:
        alarms_per_day: How many false alarms the whole fleet may raise on average.
        interval_s: Seconds between decisions, each over the whole fleet.
    """
    return min(MAX_LEVEL, alarms_per_day * interval_s / _DAY_S)


def compare(
    manifest: Manifest, observed: Counts, *, overdispersion: float = 1.0
) -> list[Comparison]:
    """Compare every column and the predicted labels with the release's reference."""
    reference = manifest.reference
    found = []
    for column in manifest.columns:
        base, seen = reference.columns[column.name], observed.columns[column.name]
        found.append(_compare_values(column, base[:-1], seen[:-1], overdispersion))
        nulls = [base[-1], sum(base[:-1])], [seen[-1], sum(seen[:-1])]
        if base[-1] or seen[-1]:
            found.append(_comparison(column.name, "null-share", "nulls", *nulls, overdispersion))
    labels = manifest.answer.labels
    gained = _gained(labels, reference.predicted, observed.predicted)
    found.append(
        _comparison(
            PREDICTION,
            "total-variation",
            gained,
            reference.predicted,
            observed.predicted,
            overdispersion,
        )
    )
    return found


def detect(
    samples: Mapping[Place, tuple[Manifest, Counts]], *, level: float
) -> dict[Place, Verdict]:
    """Judge all places of one decision as one family of tests.

    A finding is significant after Benjamini-Hochberg over the whole family and its effect is at
    least MIN_EFFECT. Places with fewer than MIN_ROWS rows are left out: they are not judged.

    Args:
        samples: The release and the merged counts of each place, such as a site.
        level: The level of the family, see family_level.
    """
    compared = {
        place: compare(manifest, observed)
        for place, (manifest, observed) in samples.items()
        if observed.rows >= MIN_ROWS
    }
    family = [item for comparisons in compared.values() for item in comparisons]
    rejected = iter(benjamini_hochberg([item.p for item in family], level))
    verdicts = {}
    for place, comparisons in compared.items():
        found = [item for item in comparisons if next(rejected) and item.matters]
        verdicts[place] = Verdict(
            findings=tuple(sorted(found, key=lambda item: -item.effect)),
            quiet=not any(_looks_different(item) for item in comparisons),
        )
    return verdicts


def since(manifest: Manifest, windows: Mapping[datetime, Counts], finding: Comparison) -> datetime:
    """Where the newest run of differing windows begins.

    Of all runs that end at the newest window, the one against which the data speaks most
    strongly: single windows are too small to be judged one by one.

    Args:
        manifest: The release.
        windows: Merged counts of the place by window start, at least one.
        finding: The column and measure to follow.
    """
    run = Counts.zero(manifest)
    weights: dict[datetime, float] = {}
    for start in sorted(windows, reverse=True):
        run = run.merge(windows[start])
        weights[start] = _again(manifest, run, finding).weight
    return max(weights, key=lambda start: weights[start])


def lone_device(
    manifest: Manifest, devices: Mapping[str, Counts], findings: Sequence[Comparison]
) -> str | None:
    """The one device that explains all findings, if the others of its place show nothing.

    The others must have MIN_ROWS rows of their own: too little data is no acquittal.
    """
    explaining = []
    for suspect in devices:
        others = Counts.zero(manifest)
        for device, counts in devices.items():
            others = others if device == suspect else others.merge(counts)
        if others.rows >= MIN_ROWS and not any(
            _looks_different(_again(manifest, others, finding)) for finding in findings
        ):
            explaining.append(suspect)
    return explaining[0] if len(explaining) == 1 else None


def _looks_different(item: Comparison) -> bool:
    return item.matters and item.p < QUIET_P


def _again(manifest: Manifest, observed: Counts, finding: Comparison) -> Comparison:
    """The same comparison on other data."""
    for item in compare(manifest, observed):
        if (item.column, item.measure) == (finding.column, finding.measure):
            return item
    return msgspec.structs.replace(finding, effect=0.0, p=1.0, n=observed.rows, weight=0.0)


def _compare_values(
    column: Column, base: list[int], seen: list[int], overdispersion: float
) -> Comparison:
    if column.kind == "category":
        gained = _gained((*column.categories, "other"), base, seen)
        return _comparison(column.name, "total-variation", gained, base, seen, overdispersion)
    direction = "lower" if _mean_bin(seen) < _mean_bin(base) else "higher"
    return _comparison(column.name, "ks", direction, base, seen, overdispersion)


def _comparison(
    column: str,
    measure: Measure,
    direction: str,
    base: list[int],
    seen: list[int],
    overdispersion: float,
) -> Comparison:
    test = ks_binned if measure == "ks" else chi_square
    difference: Difference = test(base, seen, overdispersion=overdispersion)
    return Comparison(
        column=column,
        measure=measure,
        effect=difference.effect,
        p=difference.p,
        direction=direction,
        n=sum(seen),
        weight=difference.effect * effective_size(sum(base), sum(seen)) ** 0.5,
    )


def _mean_bin(counts: list[int]) -> float:
    total = sum(counts)
    return float(np.dot(counts, np.arange(len(counts)))) / total if total else 0.0


def _gained(names: Sequence[str], base: list[int], seen: list[int]) -> str:
    """The name whose share grew most."""
    n_base, n_seen = sum(base) or 1, sum(seen) or 1
    growth = [b / n_seen - a / n_base for a, b in zip(base, seen, strict=True)]
    return f"more {names[int(np.argmax(growth))]}"
