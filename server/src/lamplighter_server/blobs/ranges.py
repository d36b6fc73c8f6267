"""Which bytes a request asks for (RFC 9110, section 14): pure."""

import re
from typing import Final

from lamplighter_protocol.errors import LamplighterError

_ONE: Final = re.compile(r"bytes=([0-9]{0,18})-([0-9]{0,18})")


def read_range(header: str | None, size_bytes: int) -> range | None:
    """The bytes that a Range header names, of a file of `size_bytes`.

    Returns:
        None for the whole file: without a header, or with one of several ranges, of another unit
        or malformed, which a server may pass over.

    Raises:
        LamplighterError: RANGE_UNSATISFIABLE.
    """
    found = _ONE.fullmatch(header or "")
    if found is None or found.groups() == ("", ""):
        return None
    first, last = found.groups()
    if not first:
        asked = range(max(0, size_bytes - int(last)), size_bytes)
    elif last and int(last) < int(first):
        return None
    else:
        asked = range(int(first), min(int(last) + 1 if last else size_bytes, size_bytes))
    if not asked:
        raise LamplighterError("RANGE_UNSATISFIABLE", f"{header} is beyond {size_bytes} bytes.")
    return asked
