"""Two releases side by side: pure."""

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple


class Row(NamedTuple):
    """One fact of both; None where a release does not have it."""

    name: str
    """Its path, such as `evidence.variants.onnx-int8.accuracy`."""
    one: Any
    other: Any

    @property
    def differs(self) -> bool:
        """Whether the two say something else."""
        return bool(self.one != self.other)

    @property
    def change(self) -> str:
        """How far a number has moved; a mark where something else differs."""
        if not self.differs:
            return ""
        if _is_number(self.one) and _is_number(self.other):
            return f"{self.other - self.one:+.4g}"
        return "differs"


#: What is told of a release, in this order; the rest of a manifest follows from it.
_TOLD = ("evidence", "variants", "lineage", "health", "columns", "task")


def compare(one: Mapping[str, Any], other: Mapping[str, Any]) -> list[Row]:
    """Every fact of either release, as the API gives releases."""
    facts = [dict(_facts(release)) for release in (one, other)]
    names = list(dict.fromkeys([*facts[0], *facts[1]]))
    rank = {first: at for at, first in enumerate(_TOLD)}
    names.sort(key=lambda name: rank[name.partition(".")[0]])
    return [Row(name, facts[0].get(name), facts[1].get(name)) for name in names]


def _facts(release: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    manifest = release["manifest"]
    told = {"evidence": release["evidence"]} | {
        name: manifest[name] for name in _TOLD if name in manifest
    }
    for name, value in told.items():
        yield from _leaves(name, value)


def _leaves(path: str, value: Any) -> Iterator[tuple[str, Any]]:  # noqa: ANN401 - JSON
    if isinstance(value, Mapping):
        for name, inner in value.items():
            yield from _leaves(f"{path}.{name}", inner)
    elif isinstance(value, list) and value and all(isinstance(item, Mapping) for item in value):
        for at, inner in enumerate(value):
            yield from _leaves(f"{path}.{inner.get('name', at)}", inner)
    else:
        yield path, value


def _is_number(value: Any) -> bool:  # noqa: ANN401 - JSON
    return isinstance(value, int | float) and not isinstance(value, bool)
