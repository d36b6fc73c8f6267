"""Changes of rows as the log tells them: pure."""

import math
from collections.abc import Iterable
from datetime import datetime
from typing import Any, Final, NamedTuple

import msgspec
import rfc8785

from lamplighter_protocol.canonical import encode, sha256

#: A larger value is written as its digest and length, so that lines stay small.
MAX_VALUE_BYTES: Final = 4096
_MAX_EXACT: Final = 2**53 - 1


class Change(NamedTuple):
    """One row before and after; only the audited columns that differ."""

    row: tuple[Any, ...]
    """The table and the primary key: what makes it the same row."""
    subject: str
    before: dict[str, Any] | None
    """None if the row was not there."""
    after: dict[str, Any] | None
    """None if the row is not there any more."""

    @property
    def action(self) -> str:
        """What happened to the row."""
        if self.before is None:
            return "create"
        return "remove" if self.after is None else "change"


def condense(changes: Iterable[Change]) -> list[Change]:
    """One change for each row that a transaction has left different from how it found it."""
    rows: dict[tuple[Any, ...], Change] = {}
    for change in changes:
        earlier = rows.get(change.row)
        rows[change.row] = change if earlier is None else _join(earlier, change)
    differing = map(_without_equal, rows.values())
    return [change for change in differing if change.before != change.after]


def _join(first: Change, then: Change) -> Change:
    before = None if first.before is None else {**(then.before or {}), **first.before}
    after = None if then.after is None else {**(first.after or {}), **then.after}
    return first._replace(before=before, after=after)


def _without_equal(change: Change) -> Change:
    before, after = change.before, change.after
    if before is None or after is None:
        return change
    changed = [name for name in after if name not in before or before[name] != after[name]]
    return change._replace(
        before={name: before.get(name) for name in changed},
        after={name: after[name] for name in changed},
    )


def plain(value: object) -> Any:  # noqa: ANN401 - JSON
    """A column's value as canonical JSON can hold it; what is large is named by its digest."""
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, bytes):
        return _named(value)
    if isinstance(value, int):
        return value if abs(value) <= _MAX_EXACT else str(value)
    if isinstance(value, float):
        return value if math.isfinite(value) else str(value)
    if isinstance(value, datetime):
        return msgspec.to_builtins(value)
    try:
        raw = encode(value)
    except (rfc8785.CanonicalizationError, TypeError):
        return plain(str(value))
    return _named(raw) if len(raw) > MAX_VALUE_BYTES else msgspec.to_builtins(value)


def _named(raw: bytes) -> dict[str, Any]:
    return {"sha256": sha256(raw), "size_bytes": len(raw)}
