"""RFC 8785 canonical JSON: one value, one sequence of bytes, one digest."""

import hashlib
import json
from typing import Any, TypeVar

import msgspec
import rfc8785

from lamplighter_protocol.errors import LamplighterError

T = TypeVar("T")


def encode(value: Any) -> bytes:  # noqa: ANN401 - any msgspec-encodable value
    """Encode a struct or builtin value canonically.

    Raises:
        rfc8785.CanonicalizationError: NaN, infinity or an integer beyond 2**53: a programmer error.
    """
    return rfc8785.dumps(msgspec.to_builtins(value))


def decode(raw: bytes, kind: type[T], *, what: str, max_bytes: int) -> T:
    """Decode canonical JSON into `kind`, tolerating unknown fields.

    Raises:
        LamplighterError: MESSAGE_TOO_LARGE, or MESSAGE_MALFORMED if it is not valid, not of the
            declared shape, or not canonical.
    """
    if len(raw) > max_bytes:
        raise LamplighterError(
            "MESSAGE_TOO_LARGE", f"{what} has {len(raw)} bytes, the limit is {max_bytes}."
        )
    try:
        if rfc8785.dumps(json.loads(raw, parse_int=_parse_integer)) != raw:
            raise LamplighterError("MESSAGE_MALFORMED", f"{what} is not canonical JSON.")
        return msgspec.json.decode(raw, type=kind)
    except (
        msgspec.MsgspecError,
        rfc8785.CanonicalizationError,
        ValueError,
        RecursionError,
    ) as error:
        raise LamplighterError("MESSAGE_MALFORMED", f"{what} is malformed: {error}.") from error


def _parse_integer(text: str) -> int | float:
    # A float such as 1e16 is written without a point; as an integer it would be out of range.
    number = float(text)
    return int(text) if abs(number) < 2**53 else number


def sha256(raw: bytes) -> str:
    """The lower-case hexadecimal SHA-256 of `raw`."""
    return hashlib.sha256(raw).hexdigest()
