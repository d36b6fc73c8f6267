"""What the tables of the configuration ask for: sources, each with its model and its sinks."""

from collections.abc import Callable, Mapping
from importlib.metadata import entry_points
from typing import Any, Final, NamedTuple

import msgspec

from lamplighter_agent.ports.feed import Sink, Source
from lamplighter_protocol.errors import LamplighterError

SOURCES: Final = "lamplighter_agent.sources"
SINKS: Final = "lamplighter_agent.sinks"


class Feed(NamedTuple):
    """One source with everything behind it."""

    name: str
    model: str
    source: Source
    sinks: Mapping[str, Sink]


class Tables(msgspec.Struct):
    """The `[[source]]` and `[[sink]]` tables as they stand in the configuration."""

    source: list[dict[str, Any]]
    sink: list[dict[str, Any]]


def build(tables: Tables) -> list[Feed]:
    """Make what the tables ask for; nothing is opened yet.

    Every source gets sinks of its own, so that one that waits holds up no other.

    Raises:
        LamplighterError: SOURCE_INVALID.
    """
    sinks: dict[str, dict[str, Any]] = {}
    for number, table in enumerate(tables.sink, 1):
        name = _take(table, "name", f"[[sink]] {number}")
        if name in sinks:
            raise _invalid(f"[[sink]] {name}", "the name is given twice")
        sinks[name] = table
        _make(SINKS, f"[[sink]] {name}", table)  # also one that no source names must be right
    feeds = []
    for number, table in enumerate(tables.source, 1):
        where = f"[[source]] {number}"
        model = _take(table, "model", where)
        wanted = table.get("sinks")
        known = isinstance(wanted, list) and all(name in [*sinks] for name in wanted)
        if not wanted or not known:
            raise _invalid(where, f"sinks must be one or more of {sorted(sinks)}")
        keys = {key: value for key, value in table.items() if key not in ("model", "sinks")}
        feeds.append(
            Feed(
                name=f"{number}-{keys.get('kind')}",
                model=model,
                source=_make(SOURCES, where, keys),
                sinks={name: _make(SINKS, f"[[sink]] {name}", sinks[name]) for name in wanted},
            )
        )
    return feeds


def _make(group: str, where: str, table: Mapping[str, Any]) -> Any:  # noqa: ANN401 - a Source or a Sink
    kinds = {entry.name: entry for entry in entry_points(group=group)}
    kind = _take(table, "kind", where)
    if kind not in kinds:
        raise _invalid(where, f"kind must be one of {sorted(kinds)}")
    keys = {key: value for key, value in table.items() if key not in ("kind", "name")}
    try:
        factory: Callable[[dict[str, Any]], Any] = kinds[kind].load()
        return factory(keys)
    except (ImportError, AttributeError, TypeError, ValueError) as error:
        raise _invalid(where, str(error)) from error


def _take(table: Mapping[str, Any], key: str, where: str) -> str:
    value = table.get(key)
    if not isinstance(value, str) or not value:
        raise _invalid(where, f"{key} is missing")
    return value


def _invalid(where: str, what: str) -> LamplighterError:
    return LamplighterError("SOURCE_INVALID", f"In {where}: {what}.")
