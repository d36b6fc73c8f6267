"""The floor of time: what boards without a clock know of the present, from what was signed."""

from collections.abc import Mapping
from datetime import datetime, timezone
from typing import Final

import msgspec

from lamplighter_protocol.errors import LamplighterError

#: Its name in the verified set.
FLOOR: Final = "floor"
_NEVER: Final = datetime(1970, 1, 1, tzinfo=timezone.utc)


def read_floor(files: Mapping[str, bytes]) -> datetime:
    """The floor of a verified set; 1970 where there is none."""
    try:
        return msgspec.json.decode(files.get(FLOOR, b""), type=datetime)
    except (msgspec.MsgspecError, ValueError, RecursionError):
        return _NEVER


def raise_floor(before_utc: datetime, issued: object, offline_until_utc: datetime) -> datetime:
    """The floor after a timestamp: it only grows, and never past what offline keys signed.

    Args:
        before_utc: The floor until now.
        issued: What the verified timestamp says in `issued_utc`, the moment of its signature;
            None if it says nothing.
        offline_until_utc: When the first of the offline roles expires.

    Raises:
        LamplighterError: TRUST_REFUSED if `issued_utc` is no time.
    """
    if issued is None:
        return before_utc
    try:
        return max(before_utc, min(msgspec.convert(issued, datetime), offline_until_utc))
    except (msgspec.ValidationError, TypeError) as error:  # a time without a zone
        raise LamplighterError("TRUST_REFUSED", f"issued_utc is {issued!r}: {error}.") from error
