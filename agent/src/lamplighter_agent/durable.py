"""The one durable replace: write, fsync, rename, fsync the directory."""

import contextlib
import errno
import os
from collections.abc import Iterator
from pathlib import Path

from lamplighter_protocol.errors import LamplighterError

_FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})


@contextlib.contextmanager
def disk_errors() -> Iterator[None]:
    """Turn a full disk into an expected error.

    Raises:
        LamplighterError: DISK_FULL.
    """
    try:
        yield
    except OSError as error:
        if error.errno in _FULL:
            raise LamplighterError(
                "DISK_FULL", f"The device's storage is full: {error.strerror}."
            ) from error
        raise


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


def replace(path: Path, raw: bytes, mode: int = 0o644) -> None:
    """Put `raw` in the place of a file: after a power cut it is the old one or the new one.

    Raises:
        LamplighterError: DISK_FULL; the old file is untouched.
    """
    beside = path.with_name(path.name + ".new")
    with disk_errors():
        beside.unlink(missing_ok=True)  # left by a power cut, or a link that leads elsewhere
        write_synced(beside, raw, mode)
        beside.replace(path)
        fsync_directory(path.parent)


def point(link: Path, target: str) -> None:
    """Let a symbolic link point to `target`, which is durable already: the old one or the new."""
    beside = link.with_name(link.name + ".new")
    beside.unlink(missing_ok=True)
    with disk_errors():
        beside.symlink_to(target)
        beside.replace(link)
        fsync_directory(link.parent)
