"""Checks of rows as a whole. Pure."""

from lamplighter_server.data.checks.findings import Finding, finding
from lamplighter_server.data.declaration import Limits
from lamplighter_server.data.profile import Profile
from lamplighter_server.data.schema import Schema


def check_rows(schema: Schema, profile: Profile, limits: Limits) -> list[Finding]:
    """Whether there are rows, and whether they repeat."""
    if not profile.rows:
        return [finding("EMPTY", "There are no rows.")]
    found = []
    if profile.duplicate_rows > limits.max_duplicate_share * profile.rows:
        found.append(
            finding(
                "DUPLICATE_ROWS",
                f"{profile.duplicate_rows} of {profile.rows} rows equal an earlier one.",
            )
        )
    if profile.duplicate_identifiers:
        names = ", ".join(column.name for column in schema.with_role("identifier"))
        found.append(
            finding(
                "DUPLICATE_IDENTIFIERS",
                f"{profile.duplicate_identifiers} rows have an identifier ({names}) "
                "that was there before.",
                names,
            )
        )
    return found
