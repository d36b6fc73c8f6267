"""The verified metadata as a record for others to check; no TUF library is needed to hand it on."""

from datetime import datetime
from pathlib import Path
from typing import NamedTuple

import msgspec

from lamplighter_agent.trust.floor import FLOOR, read_floor
from lamplighter_protocol.errors import LamplighterError
from lamplighter_protocol.trust import TOP_LEVEL


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


class OfflinePolicy(NamedTuple):
    """How stale the verified set is."""

    floor_utc: datetime
    """The device knows that it is not earlier than this."""
    changes_until_utc: datetime
    """From then on nothing may be changed."""


class _Signed(msgspec.Struct):
    expires: datetime


class _Metadata(msgspec.Struct):
    signed: _Signed


def read_offline_policy(store: Path) -> OfflinePolicy:
    """Read how long the verified set allows changes.

    Raises:
        LamplighterError: TRUST_MISSING if nothing has been verified yet, STORE_CORRUPT.
    """
    current = store / "current"
    try:
        floor_utc = read_floor({FLOOR: (current / FLOOR).read_bytes()})
        files = [(current / f"{role}.json").read_bytes() for role in TOP_LEVEL]
        expiries = [msgspec.json.decode(raw, type=_Metadata).signed.expires for raw in files]
    except FileNotFoundError as error:
        raise LamplighterError(
            "TRUST_MISSING", "This device has not verified any metadata yet."
        ) from error
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        raise LamplighterError("STORE_CORRUPT", f"Stored metadata is damaged: {error}.") from error
    return OfflinePolicy(floor_utc, min(expiries))
