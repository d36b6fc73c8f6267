"""The verified metadata as a record for others to check; no TUF library is needed to hand it on."""

import re
from pathlib import Path
from typing import Final, NamedTuple

from lamplighter_protocol.errors import LamplighterError

_ROOT: Final = re.compile(r"([0-9]+)\.root\.json")


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
        later = sorted(
            (int(found[1]), path)
            for path in current.rglob("*.root.json")
            if (found := _ROOT.fullmatch(path.name)) and int(found[1]) > 1
        )
        return Record(
            roots=(pinned_root, *(path.read_bytes() for _, path in later)),
            targets=(current / "targets.json").read_bytes(),
            delegated={path.stem: path.read_bytes() for path in current.glob("model-*.json")},
            director_keys=(current / "director-keys.json").read_bytes(),
        )
    except FileNotFoundError as error:
        raise LamplighterError(
            "TRUST_MISSING", "This device has not verified any metadata yet."
        ) from error
