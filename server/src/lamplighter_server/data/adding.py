"""Taking data in: source, schema, rows, statistics, checks; only then is there a new version."""

from datetime import datetime, timedelta
from typing import Final, NamedTuple

from lamplighter_protocol.errors import LamplighterError
from lamplighter_server.data.checks import Former, check_version
from lamplighter_server.data.checks.findings import Finding, blocking
from lamplighter_server.data.conversion import Progress, Rows
from lamplighter_server.data.declaration import Declaration
from lamplighter_server.data.inference import check_names, infer
from lamplighter_server.data.log import DataLog
from lamplighter_server.data.manifest import (
    DatasetManifest,
    Origin,
    Register,
    Version,
)
from lamplighter_server.data.profile import Profile
from lamplighter_server.data.profiling import profile_rows
from lamplighter_server.data.sources import Source
from lamplighter_server.data.spelling import Spellings, clean
from lamplighter_server.data.store import DatasetStore
from lamplighter_server.data.subjects import Subjects

#: So many reasons stand in a refusal; `data check` tells all.
SHOWN_FINDINGS: Final = 5


class Taken(NamedTuple):
    """What became of a source; it is no version yet."""

    manifest: DatasetManifest
    profile: Profile
    findings: list[Finding]
    left_out: int
    """Rows of erased people, which were not taken in."""


class Added(NamedTuple):
    """A version that is there now."""

    version: Version
    taken: Taken
    new: bool
    """False if the newest version, or one before it, had the same content."""


def take_in(
    store: DatasetStore,
    subjects: Subjects,
    source: Source,
    declared: Declaration,
    former: Version | None,
    on_progress: Progress,
) -> Taken:
    """Read a source, store its rows, and judge them. To be called within `store.writing()`.

    Args:
        store: Where rows go; unless they become a version, they are removed again.
        subjects: Keyed hashes, and who was erased.
        source: Where rows come from.
        declared: What a person says of them.
        former: The version that this one would follow.
        on_progress: Told what is being done, and which share of it is.

    Raises:
        LamplighterError: DATA_INVALID, SUBJECT_KEY_MISSING, or SOURCE_UNREADABLE.
    """
    check_names(source.raw.names, declared)
    spellings = _read_spellings(source, declared, on_progress)
    schema = infer(source.raw, spellings, declared)
    key = subjects.key() if schema.with_role("personal") else None
    rows = Rows(store, source, declared, schema, key, subjects.erased)
    parts = store.put_rows(rows.stored(on_progress), schema.arrow)
    manifest = DatasetManifest(columns=schema, parts=parts)
    on_progress("counting", None)
    profiled = profile_rows(store, manifest)
    on_progress("checking", None)
    findings = check_version(
        schema,
        profiled,
        declared.checks,
        mixed={name: spelled for name, spelled in spellings.items() if spelled.mostly},
        former=former_of(store, former),
    )
    return Taken(manifest, profiled.profile, findings, rows.left_out)


def add(
    store: DatasetStore,
    taken: Taken,
    *,
    name: str,
    origin: Origin,
    declared: Declaration,
    now_utc: datetime,
) -> Added:
    """Make what was taken in a version, unless something blocks. Within `store.writing()`.

    The same content is the same version: then only its retention period and limits are renewed.

    Raises:
        LamplighterError: DATA_REFUSED.
    """
    if stopping := blocking(taken.findings):
        shown = " ".join(f"{found.code}: {found.sentence}" for found in stopping[:SHOWN_FINDINGS])
        more = len(stopping) - SHOWN_FINDINGS
        raise LamplighterError("DATA_REFUSED", shown + (f" And {more} more." if more > 0 else ""))
    register = store.register(name)
    digest = store.put(taken.manifest.encoded)
    known = register.find(digest)
    added_utc = known.added_utc if known else now_utc
    days = declared.retention_days
    version = Version(
        number=known.number if known else _next_number(register),
        sha256=digest,
        profile_sha256=store.put(taken.profile.encoded),
        rows=taken.manifest.rows,
        origin=known.origin if known else origin,
        limits=declared.checks,
        added_utc=added_utc,
        due_utc=added_utc + timedelta(days=days) if days else None,
    )
    store.write(register.with_version(version))
    details = {"name": name, "version": version.number, "sha256": digest, "rows": version.rows}
    DataLog(store.folder).append("added", details, now_utc)
    return Added(version, taken, new=known is None)


def former_of(store: DatasetStore, version: Version | None) -> Former | None:
    """What a version is compared with.

    Raises:
        LamplighterError: DATASET_DAMAGED.
    """
    if version is None:
        return None
    manifest = store.manifest(version.sha256)
    return Former(manifest.columns, profile_rows(store, manifest).sample)


def _next_number(register: Register) -> int:
    return max((version.number for version in register.versions), default=0) + 1


def _read_spellings(
    source: Source, declared: Declaration, on_progress: Progress
) -> dict[str, Spellings]:
    """What the cells of each column look like: one pass, for sources that spell them out."""
    if not source.spelled:
        return {}
    found = {name: Spellings() for name in source.raw.names}
    rows = 0
    for batch in source.batches():
        for name, spelled in found.items():
            spelled.add(clean(batch[name], declared.nulls), rows)
        rows += batch.num_rows
        on_progress("finding types", source.done_share)
    return found
