"""How datasets look on the command line. Pure."""

from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from typing import Any

import msgspec

from lamplighter_server.data.checks.findings import Finding
from lamplighter_server.data.diff import Diff
from lamplighter_server.data.manifest import Register, Version
from lamplighter_server.data.profile import ColumnProfile, Profile
from lamplighter_server.data.schema import Column, Schema

_BARS = " ▁▂▃▄▅▆▇█"
_SHOWN_CATEGORIES = 3


def plot(counts: Iterable[int]) -> str:
    """Counts as one bar each; what is there at all shows."""
    heights = list(counts)
    top = max(heights, default=0)
    steps = len(_BARS) - 1
    return "".join(_BARS[-(-height * steps // top) if top else 0] for height in heights)


def describe_version(name: str, version: Version, now_utc: datetime) -> dict[str, Any]:
    """One version, as listings give it to programs."""
    return {
        "dataset": name,
        "version": version.number,
        "sha256": version.sha256,
        "rows": version.rows,
        "status": version.status,
        "added_utc": version.added_utc.isoformat().replace("+00:00", "Z"),
        "due_utc": version.due_utc and version.due_utc.isoformat().replace("+00:00", "Z"),
        "due": version.status == "kept" and version.is_due(now_utc),
        "replaced_by": version.replaced_by or None,
        **msgspec.to_builtins(version.origin),
    }


def list_versions(registers: Iterable[Register], now_utc: datetime) -> Iterator[dict[str, Any]]:
    """Every version of every name."""
    for register in registers:
        for version in register.versions:
            yield describe_version(register.name, version, now_utc)


def state(listed: dict[str, Any]) -> str:
    """In a word, what may be done with a version."""
    if listed["due"]:
        return "due: delete it"
    if listed["status"] == "erased" and listed["replaced_by"]:
        return f"erased, see v{listed['replaced_by']}"
    return str(listed["status"])


def column_rows(schema: Schema, profile: Profile) -> Iterator[tuple[object, ...]]:
    """A table of the columns: name, kind, role, empty cells, values, plot."""
    for column in schema.columns:
        if not column.stored:
            yield column.name, column.kind, column.role, "", "not stored", ""
            continue
        counted = profile.column(column.name)
        values, bars = _values(column, counted)
        yield column.name, _kind(column), column.role, counted.nulls, values, bars


def _kind(column: Column) -> str:
    shape = " x ".join(map(str, column.shape))
    return f"{column.kind} {shape}".strip()


def _values(column: Column, counted: ColumnProfile) -> tuple[str, str]:
    if column.hashed:
        return "keyed hashes", ""
    if counted.categories:
        shown = ", ".join(
            f"{value} {count}" for value, count in counted.categories[:_SHOWN_CATEGORIES]
        )
        distinct = counted.distinct or 0
        rest = distinct - _SHOWN_CATEGORIES
        more = f" and {rest} more" if rest > 0 else ""
        return shown + more, plot(count for _, count in counted.categories[:20])
    if counted.minimum is None or counted.maximum is None:
        return "", ""
    if column.kind == "time":
        ends = [
            datetime.fromtimestamp(value, tz=UTC).strftime("%Y-%m-%d %H:%M")
            for value in (counted.minimum, counted.maximum)
        ]
        return " to ".join(ends), plot(counted.histogram)
    middle = f", median {counted.quantiles[3]:.4g}" if counted.quantiles else ""
    return f"{counted.minimum:.4g} to {counted.maximum:.4g}{middle}", plot(counted.histogram)


def finding_lines(findings: Iterable[Finding]) -> Iterator[str]:
    """What checks found, one a line."""
    for found in findings:
        word = "blocks" if found.blocks else "warns "
        yield f"{word}  {found.code}: {found.sentence} {found.remedy}"


def describe_findings(findings: Iterable[Finding]) -> list[dict[str, Any]]:
    """What checks found, for programs."""
    return [{**msgspec.to_builtins(found), "remedy": found.remedy} for found in findings]


def diff_lines(diff: Diff) -> Iterator[str]:
    """Two versions side by side, one fact a line."""
    rows = diff.rows
    by = f"by {', '.join(rows.by)}" if rows.by else "as a whole"
    yield (
        f"rows ({by}): {rows.added} added, {rows.removed} removed, {rows.changed} changed, "
        f"{rows.same} the same"
    )
    yield from (f"schema: {sentence}" for sentence in diff.schema)
    for shift in diff.shifts:
        mark = "moved" if shift.significant else "as before"
        yield f"{shift.column}: {mark}, {shift.measure} {shift.effect:.3f}, p {shift.p:.2g}"
