"""Content-addressed files, fetched in chunks that may stop at any byte and go on later."""

import contextlib
import hashlib
import os
from collections.abc import Iterator
from collections.abc import Set as AbstractSet
from pathlib import Path
from typing import Final

from lamplighter_agent.durable import disk_errors, fsync_directory
from lamplighter_protocol.blobs import BlobRef, check_chunk
from lamplighter_protocol.canonical import sha256
from lamplighter_protocol.errors import LamplighterError
from lamplighter_protocol.names import CHUNK_SIZE_BYTES

_READ_BYTES = 1024 * 1024
#: What a power cut may take of a file under way; it is fetched again.
SYNC_BYTES: Final = 1024 * 1024
_FINAL = "sha256"


class PartialBlob:
    """A blob under way. What it lacks is found out by hashing its bytes: they are the state.

    Attributes:
        blob: What was signed of the file.
        path: Where its bytes are.
        lacking: Numbers of the chunks that are not there yet.
    """

    def __init__(self, path: Path, final: Path, blob: BlobRef, *, sync: bool) -> None:
        self.blob = blob
        self.path = path
        self._final = final
        self._sync = sync
        self._unsynced_bytes = 0
        with disk_errors():
            if path.is_symlink():
                path.unlink()
                raise LamplighterError(
                    "STORE_CORRUPT", f"{path.name[:12]} was a link; it is removed."
                )
            self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o644)
            try:
                self.lacking = {n for n in range(blob.chunk_count) if not self._is_there(n)}
            except OSError:
                self.close()
                raise

    def _is_there(self, number: int) -> bool:
        stored = os.pread(self._file, self.blob.chunk_size_bytes(number), number * CHUNK_SIZE_BYTES)
        return bool(stored) and sha256(stored) == self.blob.chunk_sha256[number]

    @property
    def wire_sha256(self) -> str:
        """Its chunks travel as they are."""
        return self.blob.sha256

    @property
    def overhead_bytes(self) -> int:
        """See ports.transport."""
        return 0

    def write(self, number: int, payload: bytes) -> None:
        """Check one chunk and store it, durably together with up to SYNC_BYTES of others.

        Raises:
            LamplighterError: CHUNK_REFUSED, DISK_FULL or DISK_FAILED. What was written before
                stays, unless it could not be made durable.
        """
        check_chunk(self.blob, number, payload)
        with disk_errors():
            offset = number * CHUNK_SIZE_BYTES
            left = memoryview(payload)
            while left:
                written = os.pwrite(self._file, left, offset)
                left, offset = left[written:], offset + written
            self._unsynced_bytes += len(payload)
            if self._unsynced_bytes >= SYNC_BYTES:
                self._make_durable()
        self.lacking.discard(number)

    def finish(self) -> None:
        """Give the file its final name, durably.

        Every chunk was checked when it came; `BlobStore.verified` checks the whole before use.

        Raises:
            LamplighterError: DISK_FULL, DISK_FAILED.
        """
        with disk_errors():
            self._make_durable()
            self.path.replace(self._final)
            if self._sync:
                fsync_directory(self._final.parent)
                fsync_directory(self.path.parent)

    def _make_durable(self) -> None:
        """After a failed sync nobody knows what is on the medium, though reading shows it all.

        The next sync would succeed without having written it, so the file is fetched anew.
        """
        if not self._sync:
            return
        try:
            os.fdatasync(self._file)
            self._unsynced_bytes = 0
        except OSError:
            self.path.unlink(missing_ok=True)
            raise

    def close(self) -> None:
        """Leave the file as it is; another PartialBlob goes on from it."""
        os.close(self._file)


class BlobStore:
    """The blobs of a device.

    Args:
        root: The store's own directory; made if it is missing.
        sync: Whether writes are made durable. Only measurements turn this off.
    """

    def __init__(self, root: Path, *, sync: bool = True) -> None:
        self._final = root / _FINAL
        self._partial = root / "partial"
        self._aside = root / "damaged"
        self._sync = sync
        for directory in (self._final, self._partial, self._aside):
            directory.mkdir(parents=True, exist_ok=True)

    def has(self, digest: str) -> bool:
        """Whether the blob is there in full; `verified` says whether it is still intact."""
        return (self._final / digest).exists()

    def partial(self, blob: BlobRef) -> PartialBlob:
        """Begin or go on to store a blob; reads what is there of it."""
        place = self._partial / blob.sha256
        return PartialBlob(place, self._final / blob.sha256, blob, sync=self._sync)

    def verified(self, digest: str) -> Path:
        """The path of a blob whose bytes have just been checked.

        Raises:
            LamplighterError: STORE_CORRUPT; a damaged file is set aside and counts as missing.
        """
        path = self._final / digest
        try:
            found = hashlib.sha256()
            for part in _read(path):
                found.update(part)
            if found.hexdigest() == digest and not path.is_symlink():
                return path
            problem = "is not what was signed"
        except OSError as error:
            problem = f"cannot be read: {error.strerror}"
        with contextlib.suppress(OSError):  # it is missing, or the disk is read-only
            path.replace(self._aside / digest)
        raise LamplighterError("STORE_CORRUPT", f"The stored file {digest[:12]} {problem}.")

    def size_bytes(self) -> int:
        """What everything in the store takes."""
        directories = (self._final, self._partial, self._aside)
        return sum(path.stat().st_size for place in directories for path in place.iterdir())

    def collect_garbage(self, keep: AbstractSet[str]) -> int:
        """Delete every blob, whole or partial, that is not in `keep`; return how many.

        Raises:
            LamplighterError: DISK_FAILED; what is left goes the next time.
        """
        gone = [
            path
            for directory in (self._final, self._partial, self._aside)
            for path in directory.iterdir()
            if path.name not in keep
        ]
        with disk_errors():
            for path in gone:
                path.unlink()
        return len(gone)


def verified_blob(root: Path, digest: str) -> Path:
    """As BlobStore.verified, for whoever may only read the store at `root`.

    Raises:
        LamplighterError: STORE_CORRUPT.
    """
    path = root / _FINAL / digest
    try:
        intact = sha256(path.read_bytes()) == digest and not path.is_symlink()
    except OSError as error:
        raise LamplighterError(
            "STORE_CORRUPT", f"The stored file {digest[:12]} cannot be read: {error.strerror}."
        ) from error
    if not intact:
        raise LamplighterError(
            "STORE_CORRUPT", f"The stored file {digest[:12]} is not what was signed."
        )
    return path


def _read(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        while part := file.read(_READ_BYTES):
            yield part
