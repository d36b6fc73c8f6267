"""What a dataset's columns are: their kinds, their roles and what is promised of their values."""

from typing import Any, Final, Literal

import msgspec
import pyarrow as pa

from lamplighter_protocol.errors import LamplighterError

Kind = Literal["integer", "number", "boolean", "category", "time", "tensor", "image"]
Role = Literal["feature", "label", "group", "time", "identifier", "personal", "drop"]

#: Element types that a tensor may have.
TENSOR_TYPES: Final = {
    name: pa.type_for_alias(name)
    for name in ("uint8", "int8", "int16", "int32", "int64", "float32", "float64")
}
_SCALARS: Final[dict[Kind, Any]] = {
    "integer": pa.int64(),
    "number": pa.float64(),
    "boolean": pa.bool_(),
    "category": pa.string(),
    "time": pa.timestamp("us", tz="UTC"),
    "image": pa.string(),
}
NUMERIC: Final[frozenset[Kind]] = frozenset({"integer", "number", "boolean"})


class Column(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One column of a dataset."""

    name: str
    kind: Kind
    role: Role = "feature"
    shape: tuple[int, ...] = ()
    """Of one cell: a tensor's; an image's height, width and channels, empty if they differ."""
    element: str = ""
    """A tensor's element type, a key of TENSOR_TYPES."""
    required: bool = False
    """Whether no cell may be empty."""
    minimum: float | None = None
    maximum: float | None = None
    categories: tuple[str, ...] = ()
    """The only values that are allowed; empty: any."""

    @property
    def stored(self) -> bool:
        """Whether its values are kept."""
        return self.role != "drop"

    @property
    def hashed(self) -> bool:
        """Whether only keyed hashes of its values are kept."""
        return self.role == "personal"

    @property
    def arrow(self) -> pa.Field:
        """How it is stored."""
        if self.hashed:
            return pa.field(self.name, pa.string())
        if self.kind == "tensor":
            size = 1
            for length in self.shape:
                size *= length
            return pa.field(self.name, pa.list_(TENSOR_TYPES[self.element], size))
        return pa.field(self.name, _SCALARS[self.kind])


class Schema(msgspec.Struct, frozen=True, kw_only=True):
    """The columns in their order, also those that are not stored."""

    columns: tuple[Column, ...]

    @property
    def stored(self) -> tuple[Column, ...]:
        """The columns whose values are kept."""
        return tuple(column for column in self.columns if column.stored)

    @property
    def arrow(self) -> pa.Schema:
        """How rows are stored."""
        return pa.schema([column.arrow for column in self.stored])

    def with_role(self, role: Role) -> tuple[Column, ...]:
        """The columns that have a role."""
        return tuple(column for column in self.columns if column.role == role)

    @property
    def label(self) -> Column | None:
        """The column to be predicted, if there is one."""
        return next(iter(self.with_role("label")), None)

    def column(self, name: str) -> Column:
        """One stored column by name.

        Raises:
            LamplighterError: NOT_FOUND.
        """
        for column in self.stored:
            if column.name == name:
                return column
        known = ", ".join(column.name for column in self.stored)
        raise LamplighterError("NOT_FOUND", f"There is no column {name!r}; there are {known}.")
