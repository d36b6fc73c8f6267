"""Which form of a file is the smallest: pure."""

from typing import NamedTuple

from lamplighter_protocol.assignment import PatchKind
from lamplighter_protocol.patches import MAX_FILE_BYTES, make

MIN_FILE_BYTES = 16 * 1024
"""Below that nothing is worth a second message."""
WORTH_SHARE = 0.9
"""A form must be smaller than this share of what would travel without it."""


class Smallest(NamedTuple):
    """A patch that is worth it."""

    kind: PatchKind
    patch: bytes


def is_suitable(size_bytes: int) -> bool:
    """Whether a file of this length is patched at all."""
    return MIN_FILE_BYTES <= size_bytes <= MAX_FILE_BYTES


def find_smallest(new: bytes, base: bytes | None, otherwise_bytes: int) -> Smallest | None:
    """The smallest form of a file, if it is worth it.

    Args:
        new: The file.
        base: What its receivers hold; None if nothing.
        otherwise_bytes: What they would fetch without it.
    """
    forms: list[tuple[PatchKind, bytes]]
    if base is None:
        forms = [("zstd", b"")]
    elif len(base) == len(new):
        forms = [("zstd-prefix", base), ("zstd-subtract", base)]
    else:
        forms = [("zstd-prefix", base)]
    made = [Smallest(kind, make(kind, new, start)) for kind, start in forms]
    found = min(made, key=lambda item: len(item.patch))
    return found if len(found.patch) < WORTH_SHARE * otherwise_bytes else None
