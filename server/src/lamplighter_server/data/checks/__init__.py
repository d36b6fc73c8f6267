"""Quality checks: pure functions from a schema, statistics and a sample of rows to findings."""

from collections.abc import Mapping

from lamplighter_server.data.checks.columns import check_columns, check_mixed
from lamplighter_server.data.checks.findings import Finding, with_allowed
from lamplighter_server.data.checks.former import Former, check_former
from lamplighter_server.data.checks.labels import check_labels
from lamplighter_server.data.checks.leakage import check_leakage
from lamplighter_server.data.checks.noise import check_noise
from lamplighter_server.data.checks.order import check_order
from lamplighter_server.data.checks.rows import check_rows
from lamplighter_server.data.declaration import Limits
from lamplighter_server.data.profile import Profiled
from lamplighter_server.data.schema import Schema
from lamplighter_server.data.spelling import Spellings

__all__ = ["Former", "check_version"]


def check_version(
    schema: Schema,
    profiled: Profiled,
    limits: Limits,
    *,
    mixed: Mapping[str, Spellings],
    former: Former | None,
) -> list[Finding]:
    """All checks of one version, what blocks first.

    Args:
        schema: Its columns.
        profiled: Its statistics, and a sample of its rows.
        limits: The thresholds.
        mixed: Columns whose cells are of more than one kind, as far as they were spelled out.
        former: The version before it.
    """
    profile, sample, positions = profiled
    found = check_rows(schema, profile, limits)
    if profile.rows:
        found += check_mixed(mixed, schema)
        found += check_columns(schema, profile, limits)
        found += check_labels(schema, profile, limits)
        found += check_leakage(schema, sample, limits)
        found += check_order(schema, sample)
        found += check_noise(schema, sample, positions, limits)
        if former is not None:
            found += check_former(schema, sample, former, limits)
    return with_allowed(found, limits.allow)
