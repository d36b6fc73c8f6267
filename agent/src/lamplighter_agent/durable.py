"""The one durable replace: write, fsync, rename, fsync the directory."""

import contextlib
import errno
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from lamplighter_protocol.errors import LamplighterError

_FULL: Final = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
#: What `disk_errors` raises: over when there is room, or when the disk takes writes again.
DISK_ERRORS: Final = frozenset({"DISK_FULL", "DISK_FAILED"})


@contextlib.contextmanager
def disk_errors() -> Iterator[None]:
    """Turn whatever the file system refuses into an expected error.

    Raises:
        LamplighterError: DISK_FULL, or DISK_FAILED (an I/O error, read-only and the like).
    """
    try:
        yield
    except OSError as error:
        if error.errno in _FULL:
            raise LamplighterError(
                "DISK_FULL", f"The device's storage is full: {error.strerror}."
            ) from error
        raise LamplighterError(
            "DISK_FAILED", f"The device's storage refuses a change: {error.strerror}."
        ) from error


def fsync_directory(path: Path) -> None:
    """Make the names in a directory durable."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_synced(path: Path, raw: bytes, mode: int = 0o644) -> None:
    """Write a new file and make its bytes durable, but not yet its name."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    with os.fdopen(descriptor, "wb") as file:
        file.write(raw)
        file.flush()
        os.fsync(file.fileno())


def replace(path: Path, raw: bytes, mode: int = 0o644, *, keep: Path | None = None) -> None:
    """Put `raw` in the place of a file: after a power cut it is the old one or the new one.

    Args:
        path: The file.
        raw: What it shall hold.
        mode: Its permissions.
        keep: Where the old one is kept, in the same directory. A power cut may leave it there
            with nothing yet at `path`.

    Raises:
        LamplighterError: DISK_FULL, DISK_FAILED; the file is the old one or the new one, and a
            later replace makes up for it.
    """
    beside = path.with_name(path.name + ".new")
    with disk_errors():
        beside.unlink(missing_ok=True)  # left by a power cut, or a link that leads elsewhere
        write_synced(beside, raw, mode)
        if keep is not None:
            with contextlib.suppress(FileNotFoundError):
                path.replace(keep)
        beside.replace(path)
        fsync_directory(path.parent)


def set_aside(path: Path) -> None:
    """Keep a damaged file for people to look at, if the disk still lets us."""
    with contextlib.suppress(OSError):
        path.replace(path.with_name(f"{path.name}.damaged"))


def point(link: Path, target: str) -> None:
    """Let a symbolic link point to `target`, which is durable already: the old one or the new.

    Raises:
        LamplighterError: DISK_FULL, DISK_FAILED.
    """
    beside = link.with_name(link.name + ".new")
    with disk_errors():
        beside.unlink(missing_ok=True)
        beside.symlink_to(target)
        beside.replace(link)
        fsync_directory(link.parent)
