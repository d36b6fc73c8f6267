"""Leakage through time. Pure."""

from typing import Final

import numpy as np
import pyarrow as pa

from lamplighter_protocol.binning import count_numeric, quantile_edges
from lamplighter_server.data.checks.findings import Finding, finding
from lamplighter_server.data.columns import Floats, is_classification, to_codes, to_floats
from lamplighter_server.data.schema import Column, Schema
from lamplighter_server.drift.statistics import Difference, chi_square, ks_binned

MIN_ROWS: Final = 100
LEVEL: Final = 1e-3
#: The distance between the label's earlier and later half above which a random split flatters.
MIN_EFFECT: Final = 0.3


def check_order(schema: Schema, sample: pa.Table) -> list[Finding]:
    """Features that tell of a later time than their row's, and labels that follow the clock."""
    times = schema.with_role("time")
    if not times:
        return []
    when = to_floats(sample, times[0])
    found = []
    for column in schema.with_role("feature"):
        if column.kind == "time" and times[0].kind == "time":
            later = int((to_floats(sample, column) > when).sum())
            if later:
                found.append(
                    finding(
                        "TIME_LEAKAGE",
                        f"{column.name} is later than {times[0].name} in {later} of "
                        f"{sample.num_rows} rows.",
                        column.name,
                    )
                )
    label = schema.label
    if label is None or label.hashed or label.kind in {"tensor", "image"}:
        return found
    change = _change(sample, label, when)
    if change.effect >= MIN_EFFECT and change.p < LEVEL:
        found.append(
            finding(
                "TIME_ORDER",
                f"{label.name} differs between the earlier and the later half by "
                f"{change.effect:.2f} of 1.",
                label.name,
            )
        )
    return found


def _change(sample: pa.Table, label: Column, when: Floats) -> Difference:
    """The label in the earlier half against the later half."""
    known = np.isfinite(when)
    if known.sum() < MIN_ROWS:
        return Difference(0.0, 1.0)
    late = when > np.median(when[known])
    if is_classification(sample, label):
        codes, names = to_codes(sample, label)
        halves = [codes[known & (codes >= 0) & half] for half in (~late, late)]
        early, after = (np.bincount(half, minlength=len(names)).tolist() for half in halves)
        return chi_square(early, after)
    values = to_floats(sample, label)
    known &= np.isfinite(values)
    if not known.any():
        return Difference(0.0, 1.0)
    edges = quantile_edges(values[known])
    early, after = (count_numeric(values[known & half], edges)[:-1] for half in (~late, late))
    return ks_binned(early, after)
