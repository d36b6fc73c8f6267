"""The exported log: one JSON document a row, read without the server. Pure."""

import itertools
from collections.abc import Iterable, Iterator
from typing import Final, NamedTuple

import msgspec

from lamplighter_protocol import dsse
from lamplighter_protocol.errors import LamplighterError
from lamplighter_protocol.names import Name
from lamplighter_server.audit.chain import PAYLOAD_TYPE, Head, Line, read_head

FORMAT: Final = 1


class Log(msgspec.Struct, frozen=True, kw_only=True):
    """Whose log it is, and the key that signs its heads."""

    fleet: Name
    public_pem: str
    format: int = FORMAT


class Row(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One row of the file: the first is the `log`, then come the heads, then the lines."""

    log: Log | None = None
    line: Line | None = None
    head: msgspec.Raw = msgspec.Raw()
    """A signed head's envelope."""


class Export(NamedTuple):
    """A log as it is read: the lines come from the file while they are asked for."""

    log: Log
    heads: list[Head]
    lines: Iterator[Line]


def write_row(row: Row) -> bytes:
    """A row as bytes, with its end."""
    return msgspec.json.encode(row) + b"\n"


def read_log(raw_rows: Iterable[bytes]) -> Export:
    """Read an exported log; the heads' signatures are verified with the file's own key.

    Raises:
        LamplighterError: AUDIT_BROKEN if a row cannot be read (also while lines are asked for), or
            AUDIT_HEAD_INVALID.
    """
    rows = _read_rows(raw_rows)
    first = next(rows, Row())
    if first.log is None or first.log.format != FORMAT:
        raise LamplighterError("AUDIT_BROKEN", "The file does not say whose log it is.")
    envelopes: list[bytes] = []
    rest: list[Row] = []
    for row in rows:
        if row.line is not None:
            rest.append(row)
            break
        envelopes.append(bytes(row.head))
    heads = list(read_heads(envelopes, first.log.public_pem))
    return Export(first.log, heads, _lines(itertools.chain(rest, rows)))


def _read_rows(raw_rows: Iterable[bytes]) -> Iterator[Row]:
    number = 0
    try:
        for raw in raw_rows:
            number += 1
            yield msgspec.json.decode(raw, type=Row)
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError) as error:
        raise LamplighterError(
            "AUDIT_BROKEN", f"Row {number} of the file cannot be read: {error}."
        ) from error


def _lines(rows: Iterable[Row]) -> Iterator[Line]:
    for row in rows:
        if row.line is None:
            raise LamplighterError("AUDIT_BROKEN", "Between the lines stands something else.")
        yield row.line


def read_heads(envelopes: Iterable[bytes], public_pem: str) -> Iterator[Head]:
    """The heads that a key has signed.

    Raises:
        LamplighterError: AUDIT_HEAD_INVALID, or MESSAGE_MALFORMED if it is no key.
    """
    public = dsse.load_public(public_pem)
    keys = {dsse.key_id(public): public}
    return (read_head(raw, keys) for raw in envelopes)


def find_envelopes(text: str) -> list[bytes]:
    """The signed heads in a text: an export, or the server's log as somebody kept it.

    Raises:
        LamplighterError: AUDIT_HEAD_INVALID if there is none.
    """
    found = []
    for row in text.splitlines():
        if PAYLOAD_TYPE in row and "{" in row:
            raw = row[row.index("{") :].strip().encode()
            try:
                found.append(bytes(msgspec.json.decode(raw, type=Row).head) or raw)
            except (msgspec.MsgspecError, RecursionError) as error:
                raise LamplighterError(
                    "AUDIT_HEAD_INVALID", f"A signed head cannot be read: {error}."
                ) from error
    if not found:
        raise LamplighterError("AUDIT_HEAD_INVALID", "The file holds no signed head.")
    return found
