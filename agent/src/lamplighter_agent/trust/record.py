"""The verified metadata as a record for others to check; no TUF library is needed to hand it on."""

from pathlib import Path
from typing import NamedTuple

from lamplighter_protocol.errors import LamplighterError


class Record(NamedTuple):
    """The files of one verified set, as they were signed."""

    roots: tuple[bytes, ...]
    """The pinned root first, then every newer one."""
    targets: bytes
    delegated: dict[str, bytes]
    """By role."""
    director_keys: bytes


def read_record(store: Path, pinned_root: bytes) -> Record:
    """Read the verified set.

    Args:
        store: The directory whose `current` is the verified set.
        pinned_root: The root that the invitation pinned, version 1.

    Raises:
        LamplighterError: TRUST_MISSING if nothing has been verified yet.
    """
    current = store / "current"
    try:
        later = sorted(current.glob("*.root"), key=lambda path: int(path.stem))
        return Record(
            roots=(pinned_root, *(path.read_bytes() for path in later)),
            targets=(current / "targets.json").read_bytes(),
            delegated={path.stem: path.read_bytes() for path in current.glob("model-*.json")},
            director_keys=(current / "director-keys").read_bytes(),
        )
    except FileNotFoundError as error:
        raise LamplighterError(
            "TRUST_MISSING", "This device has not verified any metadata yet."
        ) from error
