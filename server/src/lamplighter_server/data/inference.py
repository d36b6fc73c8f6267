"""From what a source holds and what a person declares to a schema. Pure."""

import re
from collections.abc import Mapping
from typing import Final

import pyarrow as pa

from lamplighter_protocol.errors import LamplighterError
from lamplighter_server.data.declaration import ColumnWish, Declaration
from lamplighter_server.data.schema import TENSOR_TYPES, Column, Kind, Role, Schema
from lamplighter_server.data.spelling import Spellings

#: More columns are no table but a tensor; NumPy files hold those.
MAX_COLUMNS: Final = 10_000
MAX_NAME_LENGTH: Final = 128
#: Metadata of a source's field that says what it is, where the type alone does not.
KIND: Final = b"kind"
SHAPE: Final = b"shape"
_LABELS: Final = frozenset({"label", "target", "class"})
_IDENTIFIER: Final = re.compile(r"(?i)^(id|uuid|guid|file|row_?id|index|unnamed.*)$")


def infer(raw: pa.Schema, spellings: Mapping[str, Spellings], declared: Declaration) -> Schema:
    """The schema of a source.

    Args:
        raw: The source's own columns.
        spellings: What cells look like, for columns that are spelled out.
        declared: What a person says; it counts more than what is inferred.

    Raises:
        LamplighterError: DATA_INVALID.
    """
    kinds = {name: _kind(raw.field(name), spellings.get(name), declared) for name in raw.names}
    roles = {name: wish.role for name, wish in declared.columns.items() if wish.role}
    columns = []
    for name in raw.names:
        wish = declared.columns.get(name, ColumnWish())
        role = wish.role or _role(name, kinds[name], kinds, roles)
        columns.append(_column(raw.field(name), kinds[name], role, wish))
    schema = Schema(columns=tuple(columns))
    _check(schema, spellings)
    return schema


def check_names(names: list[str], declared: Declaration) -> None:
    """Refuse names that cannot tell columns apart, and declarations of columns that are not there.

    Raises:
        LamplighterError: DATA_INVALID.
    """
    if not 1 <= len(names) <= MAX_COLUMNS:
        raise LamplighterError("DATA_INVALID", f"The source has {len(names)} columns.")
    for position, name in enumerate(names, 1):
        if not name or len(name) > MAX_NAME_LENGTH or not name.isprintable():
            raise LamplighterError("DATA_INVALID", f"Column {position} has no usable name.")
    if repeated := sorted({name for name in names if names.count(name) > 1}):
        raise LamplighterError("DATA_INVALID", f"Column {repeated[0]!r} is there twice.")
    if unknown := sorted(declared.columns.keys() - set(names)):
        raise LamplighterError(
            "DATA_INVALID",
            f"Column {unknown[0]!r} is declared, but the source has {', '.join(names[:20])}.",
        )


def _kind(field: pa.Field, spelled: Spellings | None, declared: Declaration) -> Kind:
    wish = declared.columns.get(field.name, ColumnWish())
    if wish.role == "personal":
        return "category"
    if spelled is not None:
        return wish.kind or spelled.kind
    found = _kind_of(field)
    if wish.kind not in {None, found} and (found, wish.kind) != ("integer", "number"):
        raise LamplighterError(
            "DATA_INVALID", f"Column {field.name!r} is declared {wish.kind} and is {found}."
        )
    return wish.kind or found


def _kind_of(field: pa.Field) -> Kind:
    metadata, found = field.metadata or {}, field.type
    if metadata.get(KIND) == b"image":
        return "image"
    if pa.types.is_dictionary(found):
        found = found.value_type
    tests: tuple[tuple[bool, Kind], ...] = (
        (pa.types.is_boolean(found), "boolean"),
        (pa.types.is_integer(found), "integer"),
        (pa.types.is_floating(found) or pa.types.is_decimal(found), "number"),
        (pa.types.is_string(found) or pa.types.is_large_string(found), "category"),
        (pa.types.is_timestamp(found) or pa.types.is_date(found), "time"),
        (
            pa.types.is_fixed_size_list(found) and str(found.value_type) in _ELEMENTS,
            "tensor",
        ),
    )
    for matches, kind in tests:
        if matches:
            return kind
    raise LamplighterError(
        "DATA_INVALID", f"Column {field.name!r} has the type {found}, which cannot be kept."
    )


_ELEMENTS: Final = {str(arrow): name for name, arrow in TENSOR_TYPES.items()}


def _role(name: str, kind: Kind, kinds: Mapping[str, Kind], roles: Mapping[str, Role]) -> Role:
    """A cautious guess, shown to the person: label, time and identifier by name and kind."""
    if name.lower() in _LABELS and "label" not in roles.values():
        return "label"
    times = [other for other, found in kinds.items() if found == "time"]
    if kind == "time" and times == [name] and "time" not in roles.values():
        return "time"
    if _IDENTIFIER.match(name) and "identifier" not in roles.values():
        return "identifier"
    return "feature"


def _column(field: pa.Field, kind: Kind, role: Role, wish: ColumnWish) -> Column:
    shape: tuple[int, ...] = ()
    element = ""
    if kind in {"tensor", "image"}:
        text = (field.metadata or {}).get(SHAPE, b"").decode()
        shape = tuple(int(length) for length in text.split(",") if length)
    if kind == "tensor":
        element = _ELEMENTS[str(field.type.value_type)]
        shape = shape or (field.type.list_size,)
    return Column(
        name=field.name,
        kind=kind,
        role=role,
        shape=shape,
        element=element,
        required=wish.required,
        minimum=wish.min,
        maximum=wish.max,
        categories=wish.categories,
    )


def _check(schema: Schema, spellings: Mapping[str, Spellings]) -> None:
    for role in ("label", "time"):
        named = [column.name for column in schema.columns if column.role == role]
        if len(named) > 1:
            raise LamplighterError("DATA_INVALID", f"Both {named[0]!r} and {named[1]!r}: {role}.")
    for column in schema.with_role("time"):
        if column.kind not in {"time", "integer", "number"}:
            raise LamplighterError("DATA_INVALID", f"Column {column.name!r} holds no times.")
    for column in schema.stored:
        if column.hashed and column.kind in {"tensor", "image"}:
            raise LamplighterError("DATA_INVALID", f"A {column.kind} cannot be hashed: drop it.")
        spelled = spellings.get(column.name)
        if spelled is not None and not column.hashed:
            strays, row = spelled.strays(column.kind)
            if strays:
                raise LamplighterError(
                    "DATA_INVALID",
                    f"Column {column.name!r}, row {row}: not of kind {column.kind} "
                    f"({strays} such cells).",
                )
    if not any(column.role == "feature" for column in schema.columns):
        raise LamplighterError("DATA_INVALID", "No column is left to learn from.")
