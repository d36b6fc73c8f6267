"""The chain: lines that name the digest of the line before, and signed heads of it. Pure."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from typing import Annotated, Any, Final, NamedTuple

import msgspec

from lamplighter_protocol import dsse
from lamplighter_protocol.assignment import Utc
from lamplighter_protocol.canonical import decode, encode, sha256
from lamplighter_protocol.errors import LamplighterError
from lamplighter_protocol.names import MAX_ENVELOPE_BYTES, Name, Sha256

PAYLOAD_TYPE: Final = "application/vnd.lamplighter.audit-head+json"

Sequence = Annotated[int, msgspec.Meta(ge=1)]


class Entry(NamedTuple):
    """What a line is to tell, before it has its place in the chain."""

    actor: str
    action: str
    subject: str
    before: dict[str, Any] | None
    after: dict[str, Any] | None


class Line(msgspec.Struct, frozen=True, kw_only=True):
    """One line of the log."""

    sequence: Sequence
    """From 1, without gaps."""
    at_utc: Utc
    actor: str
    """`kind:name`, see lamplighter_server.actor."""
    action: str
    """`create`, `change` or `remove` of a row; else what was attempted or refused."""
    subject: str
    """The table and the row, as in `device/camera-7`; else what an attempt was about."""
    before: dict[str, Any] | None
    after: dict[str, Any] | None
    """Only the columns that have changed; of an attempt, its details."""
    previous_sha256: Sha256
    sha256: Sha256
    """Of all the other fields, as canonical JSON."""


class Tip(NamedTuple):
    """Where a chain ends."""

    sequence: int
    sha256: str


class Head(msgspec.Struct, frozen=True, kw_only=True):
    """Where the chain stood at a time: what the server signs, so that others can hold it to it."""

    fleet: Name
    sequence: Sequence
    sha256: Sha256
    at_utc: Utc


#: Before the first line.
START: Final = Tip(0, "0" * 64)


def extend(tip: Tip, entries: Iterable[Entry], at_utc: datetime) -> Iterator[Line]:
    """The next lines of the chain that ends in `tip`."""
    for entry in entries:
        line = Line(
            sequence=tip.sequence + 1,
            at_utc=at_utc,
            **entry._asdict(),
            previous_sha256=tip.sha256,
            sha256=START.sha256,
        )
        line = msgspec.structs.replace(line, sha256=digest(line))
        yield line
        tip = Tip(line.sequence, line.sha256)


def digest(line: Line) -> str:
    """What the line's own `sha256` has to be."""
    fields = msgspec.to_builtins(line)
    del fields["sha256"]
    return sha256(encode(fields))


def follow(tip: Tip, line: Line) -> Tip:
    """The chain's end after `line`.

    Raises:
        LamplighterError: AUDIT_BROKEN, naming the first sequence that is not what it was.
    """
    expected = tip.sequence + 1
    if line.sequence != expected:
        raise LamplighterError(
            "AUDIT_BROKEN", f"Line {expected} is not in its place: line {line.sequence} is."
        )
    if digest(line) != line.sha256:
        raise LamplighterError("AUDIT_BROKEN", f"Line {expected} was changed.")
    if line.previous_sha256 != tip.sha256:
        raise LamplighterError(
            "AUDIT_BROKEN", f"Line {expected} does not follow from the line before it."
        )
    return Tip(line.sequence, line.sha256)


def verify(lines: Iterable[Line], heads: Iterable[Head] = ()) -> Tip:
    """Check a whole chain against itself and against every head that somebody has kept.

    Args:
        lines: From the first one on, in order.
        heads: Heads whose signature has been verified.

    Returns:
        Where the chain ends.

    Raises:
        LamplighterError: AUDIT_BROKEN if a line was edited, removed, inserted or moved, or is
            not the one that a head names; AUDIT_TRUNCATED if lines up to a head are missing.
    """
    kept: dict[int, set[str]] = defaultdict(set)
    for head in heads:
        kept[head.sequence].add(head.sha256)
    tip = START
    for line in lines:
        tip = follow(tip, line)
        if kept.pop(tip.sequence, {tip.sha256}) != {tip.sha256}:
            raise LamplighterError(
                "AUDIT_BROKEN", f"Line {tip.sequence} is not the one of a signed head."
            )
    if kept:
        raise LamplighterError(
            "AUDIT_TRUNCATED",
            f"Line {tip.sequence + 1} is missing: a signed head names line {max(kept)}.",
        )
    return tip


def sign_head(head: Head, signer: dsse.Signer) -> bytes:
    """The envelope that is kept and handed out."""
    return dsse.sign(PAYLOAD_TYPE, encode(head), signer)


def read_head(raw: bytes, keys: Mapping[str, dsse.PublicKey]) -> Head:
    """A head from its envelope.

    Raises:
        LamplighterError: AUDIT_HEAD_INVALID if none of the keys (by id) has signed it.
    """
    try:
        payload = dsse.verify(raw, PAYLOAD_TYPE, keys)
        return decode(payload, Head, what="The head", max_bytes=MAX_ENVELOPE_BYTES)
    except LamplighterError as error:
        raise LamplighterError(
            "AUDIT_HEAD_INVALID", f"A signed head cannot be believed: {error.sentence}"
        ) from error
