"""In words, every difference between two metadata documents: what a signature would add.

The signed part is cut into units that cover it whole. A unit that differs is always said, also
one that this version does not understand; nothing can hide between the units.
"""

import json
from collections.abc import Iterator, Mapping
from typing import Any, Final

from lamplighter_server.trust.roles import read_role

#: (kind, name) of a unit; kinds are shown in this order.
Unit = tuple[str, str]
_KINDS: Final = ("field", "role", "key", "delegation", "delegated key", "target")


def changes(role: str, before: bytes | None, after: bytes) -> list[str]:
    """Every difference that `after` makes, one a line; empty if both say the same.

    Args:
        role: The role of both documents.
        before: The document that the signer knows, or None: then everything is new.
        after: The document that is to be signed.
    """
    old = dict(_units(_signed(role, before))) if before is not None else {}
    new = dict(_units(_signed(role, after)))
    units = sorted(old.keys() | new.keys(), key=lambda unit: (_KINDS.index(unit[0]), unit[1]))
    return [
        f"{role}: {_say(unit, old.get(unit), new.get(unit))}"
        for unit in units
        if _json(old.get(unit)) != _json(new.get(unit))  # as JSON, true is not 1
    ]


def _signed(role: str, raw: bytes) -> dict[str, Any]:
    return read_role(role, raw).signed.to_dict()


def _units(document: Mapping[str, Any]) -> Iterator[tuple[Unit, Any]]:
    """The units of a signed part. Values are never None, which stands for an absent unit."""
    for name, value in document.items():
        if name == "delegations":
            yield from _delegation_units(value)
        elif name in {"keys", "roles", "targets"}:
            yield ("field", name), "present"
            for key, item in value.items():
                yield (name.removesuffix("s"), key), {"is": item}
        else:
            yield ("field", name), {"is": value}


def _delegation_units(document: Mapping[str, Any]) -> Iterator[tuple[Unit, Any]]:
    yield (
        ("field", "delegations"),
        {name: value for name, value in document.items() if name not in {"keys", "roles"}},
    )
    for keyid, key in document["keys"].items():
        yield ("delegated key", keyid), {"is": key}
    for place, role in enumerate(document.get("roles") or ()):
        # The order is part of the meaning: the first role that names a target wins.
        yield ("delegation", role["name"]), {"place": place + 1, "is": role}


def _say(unit: Unit, before: Any, after: Any) -> str:  # noqa: ANN401 - JSON
    kind, name = unit
    sign = "+" if before is None else "-" if after is None else "!"
    what = f"{sign} {kind} {_plain(name)}"
    if before is None:
        return f"{what} {_value(kind, after)}"
    if after is None:
        return f"{what} (was {_value(kind, before)})"
    return f"{what} {_value(kind, before)} -> {_value(kind, after)}"


def _value(kind: str, unit: Any) -> str:  # noqa: ANN401 - JSON
    if kind == "target":
        target = dict(unit["is"])
        hashes, length = dict(target.pop("hashes")), target.pop("length")
        said = [f"sha256 {_plain(hashes.pop('sha256', 'none'))}, {_json(length)} bytes"]
        said += [_json(rest) for rest in (hashes, target) if rest]
        return ", ".join(said)
    if isinstance(unit, dict) and unit.keys() == {"is"}:
        return _json(unit["is"])
    return _json(unit)


def _json(value: Any) -> str:  # noqa: ANN401 - JSON
    """On one line, with everything escaped that could deceive a reader's terminal."""
    return json.dumps(value, sort_keys=True, ensure_ascii=True)


def _plain(name: str) -> str:
    """A name as it is if it cannot deceive, otherwise quoted and escaped."""
    return name if name.isascii() and name.isprintable() and " " not in name else _json(name)
