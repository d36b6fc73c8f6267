"""Checks of the label. Pure."""

from lamplighter_server.data.checks.findings import Finding, finding
from lamplighter_server.data.declaration import Limits
from lamplighter_server.data.profile import Profile
from lamplighter_server.data.schema import Schema


def check_labels(schema: Schema, profile: Profile, limits: Limits) -> list[Finding]:
    """Whether every row has a label, and every class enough rows."""
    label = schema.label
    if label is None:
        return [finding("LABEL_NONE", "No column is the label.")]
    counted, name = profile.column(label.name), label.name
    found = []
    if counted.nulls or counted.nans:
        missing = counted.nulls + counted.nans
        found.append(
            finding("LABEL_MISSING", f"{name}: {missing} of {profile.rows} rows have none.", name)
        )
    constant = counted.distinct == 1 or counted.minimum == counted.maximum is not None
    if constant or counted.nulls == profile.rows:
        found.append(finding("ONE_CLASS", f"{name} is the same in every row.", name))
    elif counted.classes:
        rare, rows = min(counted.classes, key=lambda item: item[1])
        share = rows / sum(count for _, count in counted.classes)
        if share < limits.min_class_share:
            found.append(
                finding("IMBALANCE", f"{name}: {rare!r} has {rows} rows ({share:.2%}).", name)
            )
    return found
