"""What a person says of a dataset: the small YAML beside the source, and flags. Pure.

docs/reference/dataset-file.md describes the file.
"""

from collections.abc import Mapping
from typing import Annotated, Any, Final

import msgspec
import yaml

from lamplighter_protocol.errors import LamplighterError
from lamplighter_server.data.schema import Kind, Role

MAX_FILE_BYTES: Final = 256 * 1024
SUFFIX: Final = ".yaml"
"""The file beside `readings.csv` is `readings.csv.yaml`."""

Share = Annotated[float, msgspec.Meta(ge=0, le=1)]
Days = Annotated[int, msgspec.Meta(ge=1, le=36_500)]


class ColumnWish(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is declared of one column; what is left out is inferred."""

    kind: Kind | None = None
    role: Role | None = None
    required: bool = False
    min: float | None = None
    max: float | None = None
    categories: tuple[str, ...] = ()


class Limits(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The thresholds of the quality checks."""

    allow: frozenset[str] = frozenset()
    """Codes of findings that only warn, on purpose."""
    max_null_share: Share = 0.2
    max_duplicate_share: Share = 0.01
    max_categories: Annotated[int, msgspec.Meta(ge=2)] = 1000
    min_class_share: Share = 0.01
    leakage_score: Share = 0.98
    """How well a single column may predict the label: 0 by chance, 1 exactly."""
    max_noise_share: Share = 0.05
    """The share of rows whose neighbours agree on another label."""
    min_shift: Share = 0.1
    """The distance from the former version that is worth a word."""


class Declaration(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Everything that is declared of a dataset."""

    columns: dict[str, ColumnWish] = {}
    delimiter: Annotated[str, msgspec.Meta(min_length=1, max_length=1)] | None = None
    nulls: tuple[str, ...] = ()
    """Spellings of an empty cell beside the usual ones."""
    labels: str | None = None
    """For images: a CSV in their folder with the columns `file` and `label`."""
    retention_days: Days | None = None
    checks: Limits = Limits()

    def with_flags(
        self, roles: Mapping[str, Role], retention_days: int | None = None
    ) -> "Declaration":
        """The same with what was said on the command line, which counts more."""
        columns = dict(self.columns)
        for name, role in roles.items():
            wish = columns.get(name, ColumnWish())
            columns[name] = msgspec.structs.replace(wish, role=role)
        days = self.retention_days if retention_days is None else retention_days
        return msgspec.structs.replace(self, columns=columns, retention_days=days)


class _Loader(yaml.SafeLoader):  # type: ignore[misc]  # PyYAML has no types
    """Plain YAML: an alias could name a huge value many times over."""

    def compose_node(self, parent: Any, index: Any) -> Any:  # noqa: ANN401 - PyYAML's own types
        if self.check_event(yaml.AliasEvent):
            raise yaml.YAMLError("aliases are not allowed")
        return super().compose_node(parent, index)


def read_declaration(raw: bytes) -> Declaration:
    """Read the YAML file.

    Raises:
        LamplighterError: MESSAGE_TOO_LARGE, or DATA_INVALID with the place that is wrong.
    """
    if len(raw) > MAX_FILE_BYTES:
        raise LamplighterError("MESSAGE_TOO_LARGE", f"The YAML file has {len(raw)} bytes.")
    try:
        document = yaml.load(raw, _Loader)  # noqa: S506 - a SafeLoader
        return msgspec.convert(document or {}, Declaration)
    except (yaml.YAMLError, msgspec.ValidationError, ValueError, RecursionError) as error:
        text = " ".join(str(error).split())
        raise LamplighterError("DATA_INVALID", f"The dataset's YAML file: {text}.") from error
