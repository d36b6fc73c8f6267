"""A watched folder: each file that has come to rest is asked once, then moved."""

import contextlib
import os
import stat
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any, Final, Literal

import msgspec

from lamplighter_agent.feed.content import MAX_CONTENT_BYTES, read_json, read_npy
from lamplighter_agent.feed.pictures import Picture
from lamplighter_agent.ports.feed import Content, Item

DONE: Final = "done"
FAILED: Final = "failed"
_PICTURES: Final = frozenset({".png", ".jpg", ".jpeg", ".bmp"})
_READERS: Final[dict[str, Callable[[bytes], Content]]] = {".json": read_json, ".npy": read_npy}
_UNFINISHED: Final = (".part", ".tmp", ".swp", "~")


class _Table(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    path: str
    pattern: str = "*"
    settle_s: float = 1.0
    """How long a file's size and time must not change before it counts as written."""
    poll_s: float = 0.5
    after: Literal["move", "delete"] = "move"
    picture: Picture | None = None


class FolderSource:
    """Files of numbers (`.json`, `.npy`) or pictures, by name.

    What was answered goes into the folder `done` there, or is deleted; what never can be, into
    `failed`. So a file that is still there was not done.
    """

    def __init__(self, table: dict[str, Any]) -> None:
        self._table = msgspec.convert(table, _Table)
        self._folder = Path(self._table.path)
        if self._table.settle_s < 0 or self._table.poll_s <= 0:
            raise ValueError("settle_s must not be negative, poll_s must be above 0")
        self._known = {*_READERS, *(_PICTURES if self._table.picture else ())}
        self._seen: dict[str, tuple[tuple[int, int], float]] = {}

    def items(self) -> Iterator[Item]:
        """See ports.feed."""
        while True:
            for path in self._settled():
                yield Item(path.name, partial(self._read, path))
            time.sleep(self._table.poll_s)

    def done(self, item: Item, *, ok: bool) -> None:
        """See ports.feed."""
        path = self._folder / item.key
        self._seen.pop(item.key, None)
        if ok and self._table.after == "delete":
            path.unlink(missing_ok=True)
            return
        target = self._folder / (DONE if ok else FAILED)
        target.mkdir(exist_ok=True)
        with contextlib.suppress(FileNotFoundError):  # somebody has taken it away
            path.replace(target / item.key)

    def _settled(self) -> Iterator[Path]:
        """Files that did not change for a while, the oldest first."""
        now_mono = time.monotonic()
        found = dict(self._files())
        there = {path.name for path in found}
        self._seen = {name: seen for name, seen in self._seen.items() if name in there}
        for path, now in sorted(found.items(), key=lambda item: item[1].st_mtime_ns):
            look = (now.st_size, now.st_mtime_ns)
            before, since_mono = self._seen.get(path.name, (None, now_mono))
            if look != before:
                self._seen[path.name] = (look, now_mono)
            elif now_mono - since_mono >= self._table.settle_s:
                yield path

    def _files(self) -> Iterator[tuple[Path, os.stat_result]]:
        for path in self._folder.glob(self._table.pattern):
            if path.name.startswith(".") or path.name.endswith(_UNFINISHED):
                continue
            with contextlib.suppress(FileNotFoundError):  # it is gone, or a link to nowhere
                found = path.stat()
                if stat.S_ISREG(found.st_mode):
                    yield path, found

    def _read(self, path: Path) -> Content:
        suffix = path.suffix.lower()
        if suffix not in self._known:
            raise ValueError(f"files {suffix or 'without an ending'} are not read")
        with path.open("rb") as file:
            raw = file.read(MAX_CONTENT_BYTES + 1)
        if len(raw) > MAX_CONTENT_BYTES:
            raise ValueError(f"it has more than {MAX_CONTENT_BYTES} bytes")
        if (picture := self._table.picture) is not None and suffix in _PICTURES:
            return picture.decode(raw)
        return _READERS[suffix](raw)
