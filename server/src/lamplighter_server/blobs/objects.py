"""The object store: a folder of files named by their SHA-256."""

import hashlib
from collections.abc import AsyncIterator
from pathlib import Path

from lamplighter_protocol.errors import LamplighterError
from lamplighter_protocol.names import CHUNK_SIZE_BYTES, MAX_BLOB_BYTES
from lamplighter_server.files import new_file


class ObjectStore:
    """Write once, read often; a name is always the digest of the content."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def path(self, sha256: str) -> Path:
        """Where an object lies or would lie."""
        return self._folder / sha256[:2] / sha256

    def has(self, sha256: str) -> bool:
        """Whether the object is stored."""
        return self.path(sha256).is_file()

    def read(self, sha256: str) -> bytes:
        """The whole object.

        Raises:
            LamplighterError: NOT_FOUND.
        """
        try:
            return self.path(sha256).read_bytes()
        except FileNotFoundError as error:
            raise LamplighterError("NOT_FOUND", f"No file {sha256[:12]} is stored.") from error

    def size_bytes(self, sha256: str) -> int:
        """The length of an object.

        Raises:
            LamplighterError: NOT_FOUND.
        """
        try:
            return self.path(sha256).stat().st_size
        except FileNotFoundError as error:
            raise LamplighterError("NOT_FOUND", f"No file {sha256[:12]} is stored.") from error

    def chunk_count(self, sha256: str) -> int:
        """How many chunks the object has.

        Raises:
            LamplighterError: NOT_FOUND.
        """
        return -(-self.size_bytes(sha256) // CHUNK_SIZE_BYTES)

    def chunk(self, sha256: str, number: int) -> bytes:
        """Chunk `number`, counted from 0."""
        with self.path(sha256).open("rb") as file:
            file.seek(number * CHUNK_SIZE_BYTES)
            return file.read(CHUNK_SIZE_BYTES)

    async def put(self, sha256: str, parts: AsyncIterator[bytes]) -> bool:
        """Store a stream durably under its digest; False if it was there already.

        Raises:
            LamplighterError: BLOB_REFUSED if the bytes have another digest, or
                MESSAGE_TOO_LARGE.
        """
        if self.has(sha256):
            return False
        path = self.path(sha256)
        with new_file(path) as file:
            digest, size_bytes = hashlib.sha256(), 0
            async for part in parts:
                size_bytes += len(part)
                if size_bytes > MAX_BLOB_BYTES:
                    raise LamplighterError(
                        "MESSAGE_TOO_LARGE", f"A file may have {MAX_BLOB_BYTES} bytes."
                    )
                digest.update(part)
                file.write(part)
            if digest.hexdigest() != sha256:
                raise LamplighterError(
                    "BLOB_REFUSED", f"The bytes sent have the digest {digest.hexdigest()}."
                )
        return True
