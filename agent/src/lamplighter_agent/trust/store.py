"""The verified set on disk: after a power cut it is the old one or the new one, never a mix."""

import os
import shutil
from collections.abc import Mapping
from pathlib import Path

from lamplighter_agent.durable import disk_errors, fsync_directory, point, write_synced


class Store:
    """A folder whose link `current` points to the folder of the newest verified set.

    Files are never written twice: a new set links those that have not changed, brings the others
    to the disk, and then takes the place of the old one at once.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self.current = path / "current"

    def load(self) -> dict[str, bytes]:
        """The files by name; empty if there is no set yet. Sweeps what a power cut left.

        Raises:
            LamplighterError: DISK_FULL, DISK_FAILED.
        """
        with disk_errors():
            self._path.mkdir(parents=True, exist_ok=True)
        for left in self._path.glob("set-*"):
            if not self.current.is_symlink() or left != self.current.resolve():
                shutil.rmtree(left, ignore_errors=True)  # what stays is swept the next time
        if not self.current.exists():
            return {}
        with disk_errors():
            return {path.name: path.read_bytes() for path in self.current.iterdir()}

    def save(self, files: Mapping[str, bytes]) -> None:
        """Make this the verified set.

        Raises:
            LamplighterError: DISK_FULL, DISK_FAILED; the set that was there stays.
        """
        before = self.load()
        if files == before:
            return
        old, new = self.current.resolve(), self._path / f"set-{os.urandom(4).hex()}"
        with disk_errors():
            try:
                new.mkdir()
                for name, raw in files.items():
                    if before.get(name) == raw:
                        (new / name).hardlink_to(old / name)
                    else:
                        write_synced(new / name, raw)
                fsync_directory(new)
            except BaseException:
                shutil.rmtree(new, ignore_errors=True)
                raise
        point(self.current, new.name)
        if before:
            shutil.rmtree(old, ignore_errors=True)
