"""From what a person names to a version: opening the source, declaring, adding."""

import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import NamedTuple

from lamplighter_server.data.adding import Added, Taken, add, former_of, take_in
from lamplighter_server.data.checks import check_version
from lamplighter_server.data.checks.findings import Finding, finding, with_allowed
from lamplighter_server.data.conversion import Progress
from lamplighter_server.data.declaration import SUFFIX, Declaration, read_declaration
from lamplighter_server.data.manifest import Origin, Reference
from lamplighter_server.data.places import Places
from lamplighter_server.data.profiling import profile_rows
from lamplighter_server.data.schema import Role
from lamplighter_server.data.sources import dvc, open_source


class Flags(NamedTuple):
    """What is declared on the command line; it counts more than the YAML file."""

    roles: Mapping[str, Role]
    retention_days: int | None = None


def add_source(
    places: Places,
    source: str,
    name: str,
    flags: Flags,
    now_utc: datetime,
    on_progress: Progress,
) -> Added:
    """Take a source in as the next version of a name.

    Raises:
        LamplighterError: DATA_REFUSED, DATA_INVALID, SOURCE_UNREADABLE, EXTRA_MISSING,
            SUBJECT_KEY_MISSING or CONFLICT.
    """
    with _opened(source) as (path, origin), places.store.writing():
        declared = _declare(path, flags)
        taken = _take(places, path, declared, name, on_progress)
        return add(
            places.store,
            taken,
            name=name,
            origin=origin,
            declared=declared,
            now_utc=now_utc,
        )


def check_source(places: Places, source: str, flags: Flags, on_progress: Progress) -> Taken:
    """Judge a source without keeping it.

    Raises:
        LamplighterError: As `add_source`, but not DATA_REFUSED.
    """
    with _opened(source) as (path, _), places.store.writing():
        return _take(places, path, _declare(path, flags), None, on_progress)


def check_stored(places: Places, reference: Reference, now_utc: datetime) -> list[Finding]:
    """Judge a version again: by its own thresholds, against the one before, and its age.

    Raises:
        LamplighterError: NOT_FOUND, DATASET_ERASED, DATASET_EXPIRED or DATASET_DAMAGED.
    """
    store = places.store
    register = store.register(reference.name)
    version = register.get(reference.version)
    manifest = store.manifest(version.sha256)
    found = check_version(
        manifest.columns,
        profile_rows(store, manifest),
        version.limits,
        mixed={},
        former=former_of(store, register.before(version.number)),
    )
    if version.is_due(now_utc):
        found.append(finding("RETENTION_DUE", f"It was to be kept until {version.due_utc}."))
    return with_allowed(found, version.limits.allow)


def _take(
    places: Places, path: Path, declared: Declaration, name: str | None, on_progress: Progress
) -> Taken:
    former = places.store.register(name).newest if name else None
    with open_source(path, declared) as source:
        return take_in(places.store, places.subjects, source, declared, former, on_progress)


def _declare(path: Path, flags: Flags) -> Declaration:
    beside = path.with_name(path.name + SUFFIX)
    raw = beside.read_bytes() if beside.is_file() else b""
    return read_declaration(raw).with_flags(flags.roles, flags.retention_days)


@contextmanager
def _opened(source: str) -> Iterator[tuple[Path, Origin]]:
    """The path of a source, which of a DVC address is a copy for the time being."""
    if not source.startswith(dvc.SCHEME):
        yield Path(source).expanduser().absolute(), Origin(source=source)
        return
    with tempfile.TemporaryDirectory(prefix="lamplighter-dvc-") as folder:
        found = dvc.fetch(dvc.read_address(source), Path(folder))
        yield (
            found.path,
            Origin(source=source, dvc_hash=found.dvc_hash, git_commit=found.git_commit),
        )
