"""Store-and-forward for telemetry: durable, bounded, and deleted only when the server has it."""

import contextlib
import logging
import sqlite3
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import msgspec

from lamplighter_agent.durable import disk_errors
from lamplighter_protocol.errors import LamplighterError
from lamplighter_protocol.telemetry import Stream
from lamplighter_protocol.topics import STREAMS

_LOG = logging.getLogger(__name__)

#: What is dropped first when the outbox is full.
DROP_ORDER: Final[tuple[Stream, ...]] = ("vitals", "event", "window")
_SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS message (
    stream TEXT NOT NULL, sequence INTEGER NOT NULL, boot TEXT NOT NULL, body BLOB NOT NULL,
    PRIMARY KEY (stream, sequence)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS stream (
    name TEXT PRIMARY KEY, next INTEGER NOT NULL, dropped INTEGER NOT NULL
);
"""
#: Also reads every column, which a damaged schema would not have.
_USED_AGAIN: Final = """
SELECT sequence, boot, body FROM message JOIN stream ON stream = name
WHERE sequence >= next OR dropped < 0 LIMIT 1
"""
#: SQLite's words where the disk is at fault and not the file; Python 3.10 does not tell the code.
_OF_THE_DISK: Final = ("I/O error", "readonly", "unable to open", "is full")


@dataclass(frozen=True)
class Waiting:
    """A message that the server has not acknowledged.

    Attributes:
        sequence: Never used twice in the stream, over the device's life.
        boot: When it was made; it keeps its name when it is sent again after a restart.
        body: The message in MessagePack.
    """

    sequence: int
    boot: str
    body: bytes


class Outbox:
    """The telemetry that waits.

    Args:
        path: The database file. A damaged one is set aside; sequences then go on from the present
            time in milliseconds, above all that were used. Where the disk lets none be opened,
            nothing is kept until the next start.
        boot: Names this run of the device.
        max_bytes: Bound on the bodies; the oldest vitals go first, then events, then windows.
    """

    def __init__(self, path: Path, *, boot: str, max_bytes: int) -> None:
        self._boot = boot
        self._max_bytes = max_bytes
        self._closed_by: LamplighterError | None = None
        try:
            with _disk_errors():
                self._database = _open_or_begin(path)
        except LamplighterError as error:
            _LOG.error("the outbox cannot be opened: %s", error)
            self._closed_by = error
            self._database = _open(Path(":memory:"), first=1)
        self._size_bytes = self._measure()

    def _measure(self) -> int:
        (size_bytes,) = self._database.execute(
            "SELECT coalesce(sum(length(body)), 0) FROM message"
        ).fetchone()
        return int(size_bytes)

    def put(self, stream: Stream, message: msgspec.Struct) -> int:
        """Store a message durably and return its sequence.

        Raises:
            LamplighterError: DISK_FULL, DISK_FAILED.
        """
        if self._closed_by is not None:
            raise LamplighterError(self._closed_by.code, self._closed_by.sentence)
        body = msgspec.msgpack.encode(message)
        with _disk_errors(), self._database:
            (sequence,) = self._database.execute(
                "UPDATE stream SET next = next + 1 WHERE name = ? RETURNING next - 1", (stream,)
            ).fetchone()
            self._database.execute(
                "INSERT INTO message VALUES (?, ?, ?, ?)", (stream, sequence, self._boot, body)
            )
            freed_bytes = self._make_room(self._size_bytes + len(body) - self._max_bytes)
        self._size_bytes += len(body) - freed_bytes
        return int(sequence)

    def _make_room(self, excess_bytes: int) -> int:
        freed_bytes = 0
        while freed_bytes < excess_bytes:
            oldest = next(filter(None, map(self._first, DROP_ORDER)), None)
            if oldest is None:
                break
            stream, sequence, size_bytes = oldest
            self._database.execute(
                "DELETE FROM message WHERE stream = ? AND sequence = ?", (stream, sequence)
            )
            self._database.execute(
                "UPDATE stream SET dropped = dropped + 1 WHERE name = ?", (stream,)
            )
            freed_bytes += size_bytes
        return freed_bytes

    def _first(self, stream: Stream) -> tuple[str, int, int] | None:
        row: tuple[str, int, int] | None = self._database.execute(
            "SELECT stream, sequence, length(body) FROM message WHERE stream = ? "
            "ORDER BY sequence LIMIT 1",
            (stream,),
        ).fetchone()
        return row

    def waiting(self, stream: Stream, after: int, limit: int) -> list[Waiting]:
        """The oldest messages above a sequence, in order.

        Raises:
            LamplighterError: DISK_FULL, DISK_FAILED.
        """
        with _disk_errors():
            rows = self._database.execute(
                "SELECT sequence, boot, body FROM message WHERE stream = ? AND sequence > ? "
                "ORDER BY sequence LIMIT ?",
                (stream, after, limit),
            )
            return [Waiting(*row) for row in rows]

    def oldest(self, stream: Stream) -> int:
        """The lowest sequence that is still here; the next one to be used if none is.

        Raises:
            LamplighterError: DISK_FULL, DISK_FAILED.
        """
        with _disk_errors():
            (sequence,) = self._database.execute(
                "SELECT coalesce((SELECT min(sequence) FROM message WHERE stream = name), next) "
                "FROM stream WHERE name = ?",
                (stream,),
            ).fetchone()
        return int(sequence)

    def acknowledge(self, stored: Mapping[str, int]) -> None:
        """Delete what the server says it has stored; repeated or late acknowledgements do no harm.

        Args:
            stored: By stream, the sequence up to which everything is stored.

        Raises:
            LamplighterError: DISK_FULL, DISK_FAILED; the next acknowledgement makes up for it.
        """
        with _disk_errors(), self._database:
            for stream, sequence in stored.items():
                self._database.execute(
                    "DELETE FROM message WHERE stream = ? AND sequence <= ?",
                    (stream, min(sequence, 2**63 - 1)),
                )
            self._size_bytes = self._measure()

    @property
    def dropped(self) -> dict[str, int]:
        """How many messages were ever dropped, by stream.

        Raises:
            LamplighterError: DISK_FULL, DISK_FAILED.
        """
        with _disk_errors():
            return dict(self._database.execute("SELECT name, dropped FROM stream ORDER BY name"))

    def close(self) -> None:
        """Close the database."""
        with contextlib.suppress(sqlite3.OperationalError):  # the last checkpoint finds no room
            self._database.close()


def _open_or_begin(path: Path) -> sqlite3.Connection:
    """Open the database, or a new one in the place of a damaged one."""
    try:
        return _open(path, first=1)
    except (sqlite3.DatabaseError, UnicodeDecodeError) as error:
        if any(text in str(error) for text in _OF_THE_DISK):
            raise
        _LOG.error("STORE_CORRUPT: the outbox is set aside: %s", error)
        path.replace(path.with_name(f"{path.name}.damaged"))
        for suffix in ("-wal", "-shm"):
            path.with_name(path.name + suffix).unlink(missing_ok=True)
        return _open(path, first=int(time.time() * 1000))


def _open(path: Path, first: int) -> sqlite3.Connection:
    database = sqlite3.connect(path)
    try:
        database.execute("PRAGMA journal_mode = WAL")
        database.execute("PRAGMA synchronous = FULL")
        database.executescript(_SCHEMA)
        (state,) = database.execute("PRAGMA quick_check").fetchone()
        if state != "ok":
            raise sqlite3.DatabaseError(state)
        with database:
            database.executemany(
                "INSERT OR IGNORE INTO stream (name, next, dropped) VALUES (?, ?, 0)",
                [(name, first) for name in STREAMS],
            )
        if database.execute(_USED_AGAIN).fetchone() is not None:
            raise sqlite3.DatabaseError("a sequence would be used twice")
    except BaseException:
        database.close()
        raise
    return database


@contextlib.contextmanager
def _disk_errors() -> Iterator[None]:
    try:
        with disk_errors():
            yield
    except sqlite3.ProgrammingError:
        raise
    except sqlite3.DatabaseError as error:
        code = "DISK_FULL" if "full" in str(error) else "DISK_FAILED"
        raise LamplighterError(code, f"The outbox cannot be used: {error}.") from error
