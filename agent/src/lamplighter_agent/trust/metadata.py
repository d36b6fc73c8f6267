"""One complete TUF refresh from files in a folder into a store that survives a power cut.

python-tuf renames without fsync; so it works on a copy of the store, which is made durable and
takes the store's place only when everything in it is verified.
"""

import contextlib
import os
import re
import shutil
from collections.abc import Iterator
from datetime import datetime, timezone
from pathlib import Path
from typing import Any, Final

import msgspec
from tuf.api.exceptions import (
    DownloadError,
    DownloadHTTPError,
    ExpiredMetadataError,
    RepositoryError,
)
from tuf.api.metadata import Metadata, TargetFile, Targets, Timestamp
from tuf.ngclient import FetcherInterface, Updater

from lamplighter_agent.durable import disk_errors, fsync_directory, point
from lamplighter_protocol.assignment import DirectorKeys, decode_director_keys
from lamplighter_protocol.errors import LamplighterError
from lamplighter_protocol.names import DIRECTOR_KEYS_TARGET, Name, Release, manifest_target
from lamplighter_protocol.trust import SignedTarget, TrustView

DIRECTOR_KEYS_FILE: Final = "director-keys.json"
_FLOOR_FILE: Final = "floor.json"
_MODEL_PATH: Final = re.compile(r"models/[^/]+/[^/]+/bundle\.json")
_NEVER: Final = datetime(1970, 1, 1, tzinfo=timezone.utc)


class _Custom(msgspec.Struct):
    model: Name
    release: Release


class InboxFetcher(FetcherInterface):
    """Reads metadata files from a folder; a missing one is what a server calls 404."""

    def __init__(self, inbox: Path) -> None:
        self._inbox = inbox

    def _fetch(self, url: str) -> Iterator[bytes]:
        name = url.rpartition("/")[2]
        try:
            return iter([(self._inbox / name).read_bytes()])
        except FileNotFoundError as error:
            raise DownloadHTTPError(f"{name} is not here", 404) from error


def refresh(store: Path, inbox: Path, root: bytes, *, clock_utc: datetime) -> TrustView:
    """Verify what is in the inbox against the pinned root and what was verified before.

    Args:
        store: The directory whose `current` is the verified set; made if it is missing.
        inbox: The folder with `N.root.json`, `timestamp.json`, `N.snapshot.json`,
            `N.targets.json` and `director-keys.json`.
        root: The root that the invitation pinned.
        clock_utc: The board's clock; expiry is checked against the later of it and the floor.

    Raises:
        LamplighterError: TRUST_EXPIRED, TRUST_REFUSED (also on a rollback), TRUST_MISSING if a
            file has not arrived, or DISK_FULL. The verified set stays as it was.
    """
    store.mkdir(parents=True, exist_ok=True)
    current = store / "current"
    for left in store.glob("set-*"):
        if not current.is_symlink() or left != current.resolve():
            shutil.rmtree(left)
    staging = store / f"set-{os.urandom(4).hex()}"
    with disk_errors():
        if current.exists():
            shutil.copytree(current, staging, symlinks=True)
        else:
            staging.mkdir()
        try:
            with _tuf_errors():
                updater = Updater(
                    str(staging), "inbox:///", fetcher=InboxFetcher(inbox), bootstrap=root
                )
                updater.refresh()
                view = _view(staging, inbox, clock_utc)
            (staging / _FLOOR_FILE).write_bytes(msgspec.json.encode(view.issued_floor_utc))
            _make_durable(staging)
        except BaseException:
            shutil.rmtree(staging)
            raise
    old = current.resolve() if current.exists() else None
    point(current, staging.name)
    if old is not None:
        shutil.rmtree(old)
    return view


@contextlib.contextmanager
def _tuf_errors() -> Iterator[None]:
    try:
        yield
    except ExpiredMetadataError as error:
        raise LamplighterError("TRUST_EXPIRED", f"The signed metadata: {error}.") from error
    except DownloadError as error:
        raise LamplighterError("TRUST_MISSING", f"The signed metadata: {error}.") from error
    except RepositoryError as error:
        raise LamplighterError("TRUST_REFUSED", f"The signed metadata: {error}.") from error


def _view(staging: Path, inbox: Path, clock_utc: datetime) -> TrustView:
    documents: dict[str, Metadata[Any]] = {
        role: Metadata.from_bytes((staging / f"{role}.json").read_bytes())
        for role in ("root", "timestamp", "snapshot", "targets")
    }
    root, targets = documents["root"].signed, documents["targets"].signed
    timestamp = documents["timestamp"].signed
    floor_utc = _floor(staging, timestamp, min(root.expires, targets.expires))
    now_utc = max(clock_utc, floor_utc)
    for role, document in documents.items():
        # python-tuf has checked against the clock alone, which may say 1970.
        if document.signed.is_expired(now_utc):
            raise LamplighterError(
                "TRUST_EXPIRED", f"The signed {role} expired {document.signed.expires}."
            )
    return TrustView(
        root_version=root.version,
        timestamp_version=timestamp.version,
        targets_version=targets.version,
        issued_floor_utc=floor_utc,
        director=_director(staging, inbox, targets),
        targets=dict(_models(targets)),
    )


def _floor(staging: Path, timestamp: Timestamp, offline_expires_utc: datetime) -> datetime:
    """The floor of time: grows with what was signed, never past what offline keys signed."""
    try:
        before_utc = msgspec.json.decode((staging / _FLOOR_FILE).read_bytes(), type=datetime)
    except (FileNotFoundError, msgspec.MsgspecError):
        before_utc = _NEVER
    issued = timestamp.unrecognized_fields.get("issued_utc")
    if issued is None:
        return before_utc
    try:
        issued_utc = msgspec.convert(issued, datetime)
        return max(before_utc, min(issued_utc, offline_expires_utc))
    except (msgspec.ValidationError, TypeError) as error:  # a time without a zone
        raise LamplighterError("TRUST_REFUSED", f"issued_utc is {issued!r}: {error}.") from error


def _director(staging: Path, inbox: Path, targets: Targets) -> DirectorKeys:
    """The director's keys: a target that only the top-level targets role can name."""
    signed = targets.targets.get(DIRECTOR_KEYS_TARGET)
    if signed is None:
        raise LamplighterError("TRUST_REFUSED", f"No offline key signed {DIRECTOR_KEYS_TARGET}.")
    for place in (inbox / DIRECTOR_KEYS_FILE, staging / DIRECTOR_KEYS_FILE):
        if place.exists() and _is_signed(signed, raw := place.read_bytes()):
            (staging / DIRECTOR_KEYS_FILE).write_bytes(raw)
            return decode_director_keys(raw)
    raise LamplighterError(
        "TRUST_REFUSED", f"{DIRECTOR_KEYS_FILE} is missing or not what the offline key signed."
    )


def _is_signed(signed: TargetFile, raw: bytes) -> bool:
    try:
        signed.verify_length_and_hashes(raw)
    except RepositoryError:
        return False
    return True


def _models(targets: Targets) -> Iterator[tuple[str, SignedTarget]]:
    for path, target in targets.targets.items():
        if _MODEL_PATH.fullmatch(path) is None:
            continue
        try:
            custom = msgspec.convert(target.custom, _Custom)
            signed = SignedTarget(sha256=target.hashes["sha256"], size_bytes=target.length)
        except (msgspec.ValidationError, KeyError):
            continue  # not ours to run: the assignment that names it is refused
        if path == manifest_target(custom.model, custom.release):
            yield path, signed


def _make_durable(directory: Path) -> None:
    for path in [directory, *directory.rglob("*")]:
        if path.is_symlink():
            continue
        if path.is_dir():
            fsync_directory(path)
        else:
            with path.open("rb") as file:
                os.fsync(file.fileno())
