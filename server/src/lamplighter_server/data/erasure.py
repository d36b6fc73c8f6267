"""Erasing a person: which versions are rewritten, and what becomes of their registers. Pure."""

from collections.abc import Iterable, Mapping
from typing import NamedTuple

import msgspec
import pyarrow as pa
import pyarrow.compute as pc

from lamplighter_server.data.manifest import Register, Version
from lamplighter_server.data.schema import Schema


class Rewrite(NamedTuple):
    """One version that holds the person."""

    name: str
    version: Version
    number: int
    """Of the version that will hold the rest of its rows."""


class Plan(NamedTuple):
    """What an erasure is going to do."""

    rewrites: tuple[Rewrite, ...]
    unsearched: tuple[str, ...]
    """Versions without a personal column, in which nobody can be found."""


def plan_erasure(
    registers: Iterable[Register], schemas: Mapping[str, Schema], holding: Iterable[str]
) -> Plan:
    """Number the versions that take the place of those that hold the person, in their order.

    Args:
        registers: Of every name.
        schemas: By digest, of every kept version.
        holding: The digests of the versions that hold the person.
    """
    wanted = set(holding)
    rewrites, unsearched = [], []
    for register in registers:
        number = max((version.number for version in register.versions), default=0)
        for version in register.versions:
            if version.status != "kept":
                continue
            if version.sha256 in wanted:
                number += 1
                rewrites.append(Rewrite(register.name, version, number))
            if not schemas[version.sha256].with_role("personal"):
                unsearched.append(f"{register.name}@v{version.number}")
    return Plan(tuple(rewrites), tuple(unsearched))


def without_subject(rows: pa.Table, schema: Schema, hashed: str) -> pa.Table:
    """The rows that none of the personal columns links with the person."""
    kept = rows
    for column in schema.with_role("personal"):
        hit = pc.fill_null(pc.equal(kept[column.name], hashed), fill_value=False)
        kept = kept.filter(pc.invert(hit))
    return kept


def rewritten(
    register: Register, rewrite: Rewrite, *, sha256: str, profile_sha256: str, rows: int
) -> Register:
    """The register with the rest in place of a version.

    Where nothing is left, there is no new version. The retention period goes on from where it was.
    """
    old = rewrite.version
    gone = msgspec.structs.replace(old, status="erased", replaced_by=rewrite.number if rows else 0)
    changed = register.with_version(gone)
    if not rows:
        return changed
    rest = msgspec.structs.replace(
        old,
        number=rewrite.number,
        sha256=sha256,
        profile_sha256=profile_sha256,
        rows=rows,
        origin=msgspec.structs.replace(old.origin, replaces=old.number),
    )
    return changed.with_version(rest)
