"""The dataset store: content-addressed blobs, a register for each name, one writer at a time."""

import fcntl
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import pyarrow as pa
from pyarrow import ArrowException

from lamplighter_protocol.canonical import encode, sha256
from lamplighter_protocol.errors import LamplighterError
from lamplighter_server.data.manifest import (
    DatasetManifest,
    Part,
    Reference,
    Register,
    Version,
    read_manifest,
    read_register,
)
from lamplighter_server.data.parts import decode_part, encode_part, split_rows
from lamplighter_server.files import write_durably

FOLDER: Final = "datasets"
_BLOBS: Final = "blobs"
_NAMES: Final = "names"
_LOCK: Final = "lock"


class DatasetStore:
    """Datasets in one folder.

    Args:
        folder: `<LAMPLIGHTER_DATA_DIR>/datasets`.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @contextmanager
    def writing(self) -> Iterator[None]:
        """Be the only writer; what a killed one left behind is removed at the end.

        Raises:
            LamplighterError: CONFLICT if somebody else is writing.
        """
        self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        descriptor = os.open(self.folder / _LOCK, os.O_CREAT | os.O_RDWR, 0o600)
        try:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                raise LamplighterError(
                    "CONFLICT", f"Another command is changing {self.folder}."
                ) from error
            try:
                yield
            finally:
                self._collect_garbage()
        finally:
            os.close(descriptor)

    def put(self, raw: bytes) -> str:
        """Store a blob durably, also in place of a damaged one; its digest."""
        digest = sha256(raw)
        path = self._path(digest)
        if not path.exists() or path.read_bytes() != raw:
            write_durably(path, raw)
        return digest

    def read(self, digest: str) -> bytes:
        """A blob whose digest was verified.

        Raises:
            LamplighterError: DATASET_DAMAGED.
        """
        try:
            raw = self._path(digest).read_bytes()
        except FileNotFoundError as error:
            raise LamplighterError("DATASET_DAMAGED", f"File {digest[:12]} is gone.") from error
        if sha256(raw) != digest:
            raise LamplighterError("DATASET_DAMAGED", f"File {digest[:12]} was altered.")
        return raw

    def put_rows(self, batches: Iterable[pa.RecordBatch], schema: pa.Schema) -> tuple[Part, ...]:
        """Store rows as parts; memory holds one part at a time."""
        return tuple(self.put_part(table) for table in split_rows(batches, schema))

    def put_part(self, rows: pa.Table) -> Part:
        """Store one part."""
        raw = encode_part(rows)
        return Part(sha256=self.put(raw), size_bytes=len(raw), rows=rows.num_rows)

    def rows_of(self, part: Part) -> pa.Table:
        """The rows of a part.

        Raises:
            LamplighterError: DATASET_DAMAGED.
        """
        try:
            return decode_part(self.read(part.sha256))
        except (ArrowException, OSError) as error:
            raise LamplighterError(
                "DATASET_DAMAGED", f"Part {part.sha256[:12]} cannot be read: {error}."
            ) from error

    def manifest(self, digest: str) -> DatasetManifest:
        """A manifest by its digest.

        Raises:
            LamplighterError: DATASET_DAMAGED, or as `read_manifest`.
        """
        return read_manifest(self.read(digest))

    def registers(self) -> list[Register]:
        """Every name's register."""
        return [
            read_register(path.read_bytes())
            for path in sorted((self.folder / _NAMES).glob("*.json"))
        ]

    def register(self, name: str) -> Register:
        """The register of a name; an empty one if it is new."""
        try:
            return read_register((self.folder / _NAMES / f"{name}.json").read_bytes())
        except FileNotFoundError:
            return Register(name=name)

    def find(self, reference: Reference) -> Version:
        """A version that is kept.

        Raises:
            LamplighterError: NOT_FOUND, DATASET_ERASED or DATASET_EXPIRED.
        """
        return self.register(reference.name).get(reference.version)

    def write(self, register: Register) -> None:
        """Replace a register durably: from here on a new version is there."""
        write_durably(self.folder / _NAMES / f"{register.name}.json", encode(register))

    def _path(self, digest: str) -> Path:
        return self.folder / _BLOBS / digest[:2] / digest

    def _collect_garbage(self) -> None:
        """Delete every blob that no kept version needs."""
        needed: set[str] = set()
        for register in self.registers():
            for version in register.versions:
                if version.status == "kept":
                    needed |= {version.sha256, version.profile_sha256}
                    needed |= self._blobs_of(self.manifest(version.sha256))
        for path in (self.folder / _BLOBS).glob("*/*"):
            if path.name not in needed:
                path.unlink()

    def _blobs_of(self, manifest: DatasetManifest) -> set[str]:
        found = {part.sha256 for part in manifest.parts}
        images = [column.name for column in manifest.columns.stored if column.kind == "image"]
        if images:
            for part in manifest.parts:
                rows = self.rows_of(part)
                for name in images:
                    found.update(rows[name].drop_null().to_pylist())
        return found
