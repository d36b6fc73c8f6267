"""Checks against the version before. Pure."""

from collections.abc import Iterator
from typing import NamedTuple

import pyarrow as pa

from lamplighter_server.data.checks.findings import Finding, finding
from lamplighter_server.data.declaration import Limits
from lamplighter_server.data.schema import Schema
from lamplighter_server.data.shift import find_shifts


class Former(NamedTuple):
    """The version before: its columns and a sample of its rows."""

    schema: Schema
    sample: pa.Table


def compare_schemas(before: Schema, after: Schema) -> Iterator[Finding]:
    """What has changed: what a model relied on blocks, what is new or declared anew warns."""
    old = {column.name: column for column in before.stored}
    new = {column.name: column for column in after.stored}
    for name in sorted(old.keys() - new.keys()):
        dropped = any(column.name == name for column in after.columns)
        code = "SCHEMA_DECLARED" if dropped else "SCHEMA_CHANGED"
        yield finding(code, f"{name} is {'dropped' if dropped else 'gone'}.", name)
    for name in sorted(new.keys() - old.keys()):
        yield finding("SCHEMA_DECLARED", f"{name} is new.", name)
    for name in sorted(old.keys() & new.keys()):
        for what in ("role", "kind", "shape", "element"):
            then, now = getattr(old[name], what), getattr(new[name], what)
            if then != now:
                code = "SCHEMA_DECLARED" if what == "role" else "SCHEMA_CHANGED"
                sentence = f"{name}: {what} was {then or 'none'}, is {now or 'none'}."
                yield finding(code, sentence, name)


def check_former(schema: Schema, sample: pa.Table, former: Former, limits: Limits) -> list[Finding]:
    """Whether columns are other ones than before, or their values moved."""
    found = list(compare_schemas(former.schema, schema))
    changed = {change.column for change in found}
    same = [
        column
        for column in schema.stored
        if column.name not in changed and column.role not in {"identifier", "time"}
    ]
    found += [
        finding(
            "SHIFTED",
            f"{shift.column} moved by {shift.effect:.2f} of 1 ({shift.measure}) since the "
            "version before.",
            shift.column,
        )
        for shift in find_shifts(same, former.sample, sample)
        if shift.significant and shift.effect >= limits.min_shift
    ]
    return found
