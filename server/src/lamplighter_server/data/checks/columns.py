"""Checks of single columns. Pure."""

import re
from collections.abc import Iterator, Mapping
from typing import Final

from lamplighter_server.data.checks.findings import Finding, finding
from lamplighter_server.data.declaration import Limits
from lamplighter_server.data.profile import ColumnProfile, Profile
from lamplighter_server.data.schema import Column, Schema
from lamplighter_server.data.spelling import Spellings

#: Fewer rows cannot tell an identifier from values that differ by chance.
MIN_UNIQUE_ROWS: Final = 100
_PERSONAL: Final = re.compile(
    r"(?i)(^|_|-|\s)(e-?mail|phone|mobile|ssn|passport|iban|birth(day|date)|date_of_birth|dob|"
    r"first_?name|last_?name|full_?name|surname|address|ip_?address|patient_?id|customer_?id|"
    r"person_?id|user_?id|subject_?id|user_?name)($|_|-|\s)"
)
_EMAIL: Final = re.compile(r"[^@\s]+@[^@\s]+\.[A-Za-z]{2,}")


def check_mixed(mixed: Mapping[str, Spellings], schema: Schema) -> list[Finding]:
    """Columns of which most cells are numbers or the like, and some are not."""
    found = []
    for column in schema.stored:
        spelled = mixed.get(column.name)
        mostly = spelled.mostly if spelled else None
        if spelled is None or mostly is None or column.kind != "category" or column.hashed:
            continue
        strays, row = spelled.strays(mostly)
        total = sum(spelled.counts.values())
        found.append(
            finding(
                "MIXED_TYPES",
                f"{column.name}: {strays} of {total} cells are not of kind {mostly} as the others "
                f"are, the first in row {row}.",
                column.name,
            )
        )
    return found


def check_columns(schema: Schema, profile: Profile, limits: Limits) -> list[Finding]:
    """Every column by itself."""
    found: list[Finding] = []
    for column in schema.stored:
        counted = profile.column(column.name)
        found += _check_cells(column, counted, profile.rows, limits)
        found += _check_range(column, counted)
        if column.role == "feature":
            found += _check_feature(column, counted, profile.rows, limits)
    return found


def _check_cells(
    column: Column, counted: ColumnProfile, rows: int, limits: Limits
) -> Iterator[Finding]:
    name = column.name
    if column.required and counted.nulls:
        yield finding("REQUIRED", f"{name}: {counted.nulls} cells are empty.", name)
    elif column.role != "label" and counted.nulls > limits.max_null_share * rows:
        share = counted.nulls / rows
        yield finding("NULLS", f"{name}: {share:.0%} of the cells are empty.", name)
    if counted.nans:
        yield finding("NOT_A_NUMBER", f"{name}: {counted.nans} cells are NaN.", name)
    if counted.infinite:
        yield finding("INFINITE", f"{name}: {counted.infinite} cells are infinite.", name)


def _check_range(column: Column, counted: ColumnProfile) -> Iterator[Finding]:
    name, low, high = column.name, column.minimum, column.maximum
    if counted.minimum is not None and counted.maximum is not None:
        if low is not None and counted.minimum < low:
            yield finding("RANGE", f"{name}: {counted.minimum:g} is below {low:g}.", name)
        if high is not None and counted.maximum > high:
            yield finding("RANGE", f"{name}: {counted.maximum:g} is above {high:g}.", name)
    if counted.outside:
        yield finding("RANGE", f"{name}: {counted.outside} cells hold no declared category.", name)


def _check_feature(
    column: Column, counted: ColumnProfile, rows: int, limits: Limits
) -> Iterator[Finding]:
    name, there = column.name, rows - counted.nulls
    if _looks_personal(name, counted):
        yield finding("PERSONAL", f"{name} looks like personal data.", name)
    if column.kind == "image" and not column.shape:
        yield finding("IMAGE_SIZES", f"{name}: the images differ in size.", name)
    if column.kind in {"image", "tensor"}:
        return
    if there == 0 or counted.distinct == 1 or counted.minimum == counted.maximum is not None:
        yield finding("CONSTANT", f"{name} has the same value in every row.", name)
    many = counted.distinct is None or counted.distinct > limits.max_categories
    if column.kind == "category" and many:
        shown = "many" if counted.distinct is None else str(counted.distinct)
        yield finding("MANY_CATEGORIES", f"{name} has {shown} different values.", name)
    elif column.kind in {"category", "integer"} and counted.unique and there >= MIN_UNIQUE_ROWS:
        yield finding("IDENTIFIER_LIKE", f"{name} has no value twice.", name)


def _looks_personal(name: str, counted: ColumnProfile) -> bool:
    values = [value for value, _ in counted.categories]
    emails = sum(_EMAIL.fullmatch(value) is not None for value in values)
    return _PERSONAL.search(name) is not None or (emails > len(values) / 2)
