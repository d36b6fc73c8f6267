"""Erasing people and what is due, in a store."""

from collections.abc import Iterator
from datetime import datetime
from typing import Any

import msgspec
import pyarrow as pa

from lamplighter_server.data.erasure import Rewrite, plan_erasure, rewritten, without_subject
from lamplighter_server.data.log import DataLog
from lamplighter_server.data.manifest import DatasetManifest, Part, Version
from lamplighter_server.data.profiling import profile_rows
from lamplighter_server.data.schema import Schema
from lamplighter_server.data.store import DatasetStore
from lamplighter_server.data.subjects import Subjects


class Rewritten(msgspec.Struct, frozen=True, kw_only=True):
    """One version that held the person."""

    name: str
    version: int
    sha256: str
    """Of the version that is gone: what runs and releases name."""
    rows_removed: int
    replaced_by: int
    """0 if nothing was left."""
    new_sha256: str


class Erasure(msgspec.Struct, frozen=True, kw_only=True):
    """What an erasure did; it names nobody."""

    rewritten: tuple[Rewritten, ...]
    unsearched: tuple[str, ...]
    """Versions without a personal column, in which nobody can be found."""


def erase(store: DatasetStore, subjects: Subjects, subject: str, now_utc: datetime) -> Erasure:
    """Remove a person's rows from every version, and never take them in again.

    To be called within `store.writing()`, at whose end the old rows are deleted. A killed erasure
    is finished by the next one for the same person.

    Raises:
        LamplighterError: SUBJECT_KEY_MISSING, DATASET_DAMAGED or AUDIT_BROKEN.
    """
    hashed = subjects.key().hash(subject)
    subjects.forget(hashed)
    registers = store.registers()
    manifests = {
        version.sha256: store.manifest(version.sha256)
        for register in registers
        for version in register.versions
        if version.status == "kept"
    }
    rest = _Rest(store, hashed)
    remaining = {digest: rest.of(manifest) for digest, manifest in manifests.items()}
    plan = plan_erasure(
        registers,
        {digest: manifest.columns for digest, manifest in manifests.items()},
        [digest for digest, manifest in remaining.items() if manifest.sha256 != digest],
    )
    done = tuple(_replace(store, item, remaining[item.version.sha256]) for item in plan.rewrites)
    erasure = Erasure(rewritten=done, unsearched=plan.unsearched)
    details: dict[str, Any] = msgspec.to_builtins(erasure)
    DataLog(store.folder).append("erased", {**details, "subject": hashed}, now_utc)
    return erasure


def _replace(store: DatasetStore, item: Rewrite, manifest: DatasetManifest) -> Rewritten:
    rows = manifest.rows
    profile = store.put(profile_rows(store, manifest).profile.encoded) if rows else ""
    register = rewritten(
        store.register(item.name),
        item,
        sha256=store.put(manifest.encoded),
        profile_sha256=profile,
        rows=rows,
    )
    store.write(register)
    return Rewritten(
        name=item.name,
        version=item.version.number,
        sha256=item.version.sha256,
        rows_removed=item.version.rows - rows,
        replaced_by=item.number if rows else 0,
        new_sha256=manifest.sha256 if rows else "",
    )


class _Rest:
    """Versions without a person; parts that several versions share are looked at once."""

    def __init__(self, store: DatasetStore, hashed: str) -> None:
        self._store, self._hashed = store, hashed
        self._parts: dict[tuple[str, Schema], Part | None] = {}

    def of(self, manifest: DatasetManifest) -> DatasetManifest:
        """The same manifest if the person is not in it."""
        if not manifest.columns.with_role("personal"):
            return manifest
        parts = [self._part(part, manifest.columns) for part in manifest.parts]
        return msgspec.structs.replace(
            manifest, parts=tuple(part for part in parts if part is not None)
        )

    def _part(self, part: Part, schema: Schema) -> Part | None:
        key = part.sha256, schema
        if key not in self._parts:
            rows = self._store.rows_of(part)
            kept: pa.Table = without_subject(rows, schema, self._hashed)
            if kept.num_rows == rows.num_rows:
                self._parts[key] = part
            else:
                self._parts[key] = self._store.put_part(kept) if kept.num_rows else None
        return self._parts[key]


def find_due(store: DatasetStore, now_utc: datetime) -> Iterator[tuple[str, Version]]:
    """Kept versions whose retention period has ended."""
    for register in store.registers():
        for version in register.versions:
            if version.status == "kept" and version.is_due(now_utc):
                yield register.name, version


def expire(store: DatasetStore, now_utc: datetime) -> list[tuple[str, Version]]:
    """Give up what is due. Within `store.writing()`, at whose end the rows are deleted."""
    due = list(find_due(store, now_utc))
    for name, version in due:
        give_up(store, name, version, now_utc)
    return due


def give_up(store: DatasetStore, name: str, version: Version, now_utc: datetime) -> None:
    """Give one version up. Within `store.writing()`, at whose end its rows are deleted."""
    expired = msgspec.structs.replace(version, status="expired")
    store.write(store.register(name).with_version(expired))
    details = {"name": name, "version": version.number, "sha256": version.sha256}
    DataLog(store.folder).append("expired", details, now_utc)
