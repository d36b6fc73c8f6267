"""Label noise: rows whose neighbours agree on another label. A hint, at a bounded cost. Pure."""

from typing import Final, NamedTuple

import numpy as np
import pyarrow as pa

from lamplighter_server.data.checks.findings import Finding, finding
from lamplighter_server.data.columns import (
    Codes,
    Floats,
    is_classification,
    is_numeric_feature,
    to_codes,
    to_floats,
    to_tensor,
)
from lamplighter_server.data.declaration import Limits
from lamplighter_server.data.schema import Schema

NEIGHBOURS: Final = 10
#: So many of the neighbours must agree on another label.
AGREEING: Final = 9
MAX_ROWS: Final = 4000
MIN_ROWS: Final = 100
#: Multiplications that looking for neighbours may cost: a second or so.
MAX_COST: Final = 2e10
MAX_ONE_HOT: Final = 20
NAMED_ROWS: Final = 5
#: Where neighbours do not predict labels at all, their disagreement tells nothing.
MIN_SKILL: Final = 0.5


class Suspects(NamedTuple):
    """What the neighbours say."""

    rows: Codes
    """Rows of the sample whose label is doubtful."""
    skill: float
    """How well neighbours predict labels: 0 by chance, 1 always."""
    looked_at: int


def check_noise(
    schema: Schema, sample: pa.Table, positions: Codes, limits: Limits
) -> list[Finding]:
    """Whether many labels are doubtful; only where neighbours are good at predicting them."""
    label = schema.label
    if label is None or label.hashed or not is_classification(sample, label):
        return []
    features = _features(schema, sample)
    labels, _ = to_codes(sample, label)
    if features.shape[1] == 0 or len(labels) < MIN_ROWS:
        return []
    found = find_suspects(features, labels)
    share = len(found.rows) / max(1, found.looked_at)
    if found.skill < MIN_SKILL or share <= limits.max_noise_share:
        return []
    named = ", ".join(str(row + 1) for row in positions[found.rows[:NAMED_ROWS]])
    return [
        finding(
            "LABEL_NOISE",
            f"{label.name}: {len(found.rows)} of {found.looked_at} sampled rows lie among rows of "
            f"another class, such as {named}.",
            label.name,
        )
    ]


def find_suspects(features: Floats, labels: Codes) -> Suspects:
    """Rows of which AGREEING of the NEIGHBOURS nearest have one other label.

    Args:
        features: Finite, shape (n, d), of comparable scale.
        labels: Classes from 0; -1 is unknown, and such rows are left out.
    """
    from sklearn.neighbors import NearestNeighbors

    affordable = int((MAX_COST / max(1, features.shape[1])) ** 0.5)
    known = np.flatnonzero(labels >= 0)[: min(MAX_ROWS, affordable)]
    features, labels = features[known], labels[known]
    classes = int(labels.max(initial=0)) + 1
    if len(known) <= NEIGHBOURS or classes < 2:
        return Suspects(known[:0], 0.0, len(known))
    # Without a query the rows themselves are not among their own neighbours.
    search = NearestNeighbors(n_neighbors=NEIGHBOURS, algorithm="brute").fit(features)
    nearest = labels[search.kneighbors(return_distance=False)]
    votes = np.stack([(nearest == label).sum(axis=1) for label in range(classes)], axis=1)
    guess = votes.argmax(axis=1)
    doubtful = (guess != labels) & (votes.max(axis=1) >= AGREEING)
    return Suspects(known[doubtful], _skill(guess, labels), len(known))


def _skill(guess: Codes, labels: Codes) -> float:
    """Balanced accuracy, rescaled so that guessing is 0."""
    present = np.unique(labels)
    if len(present) < 2:
        return 0.0
    recalls = [float((guess[labels == label] == label).mean()) for label in present]
    chance = 1 / len(present)
    return max(0.0, (float(np.mean(recalls)) - chance) / (1 - chance))


def _features(schema: Schema, sample: pa.Table) -> Floats:
    """Numbers by their standard deviation, small categories as one column for each value."""
    parts = []
    for column in schema.with_role("feature"):
        if is_numeric_feature(column):
            parts.append(to_floats(sample, column)[:, None])
        elif column.kind == "tensor":
            parts.append(to_tensor(sample, column).reshape(sample.num_rows, -1).astype(np.float64))
        elif column.kind == "category":
            codes, names = to_codes(sample, column)
            if 2 <= len(names) <= MAX_ONE_HOT:
                parts.append((codes[:, None] == np.arange(len(names))).astype(np.float64))
    if not parts:
        return np.empty((sample.num_rows, 0))
    together = np.concatenate(parts, axis=1)
    together[~np.isfinite(together)] = np.nan
    gaps = np.isnan(together)
    together = together[:, ~gaps.all(axis=0)]
    centre = np.nanmedian(together, axis=0) if together.size else np.empty(0)
    together = np.where(np.isnan(together), centre, together)
    spread = together.std(axis=0)
    scaled: Floats = (together - centre) / np.where(spread > 0, spread, 1)
    return scaled
