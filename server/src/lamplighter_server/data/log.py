"""The store's own log: one line for each change, each naming the line before it."""

import os
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any, Final

import msgspec

from lamplighter_protocol.canonical import encode, sha256
from lamplighter_protocol.errors import LamplighterError

FILE: Final = "log.jsonl"
_FIRST: Final = "0" * 64


class Line(msgspec.Struct, frozen=True, kw_only=True):
    """One change."""

    at_utc: datetime
    event: str
    """`added`, `erased` or `expired`."""
    details: dict[str, Any]
    former_sha256: str
    """The digest of the line before; zeros for the first."""


class DataLog:
    """An append-only file.

    Args:
        folder: The dataset store's.
    """

    def __init__(self, folder: Path) -> None:
        self._path = folder / FILE

    def append(self, event: str, details: dict[str, Any], now_utc: datetime) -> None:
        """Add a line durably; the rest of a line that a power cut tore is removed.

        Raises:
            LamplighterError: AUDIT_BROKEN.
        """
        former, size_bytes = _FIRST, 0
        for raw in self._raw_lines():
            former, size_bytes = sha256(raw), size_bytes + len(raw) + 1
        line = Line(at_utc=now_utc, event=event, details=details, former_sha256=former)
        descriptor = os.open(self._path, os.O_CREAT | os.O_RDWR, 0o600)
        with os.fdopen(descriptor, "r+b") as file:
            file.truncate(size_bytes)
            file.seek(size_bytes)
            file.write(encode(line) + b"\n")
            file.flush()
            os.fsync(file.fileno())

    def lines(self) -> Iterator[Line]:
        """Every line in order.

        Raises:
            LamplighterError: AUDIT_BROKEN if one was edited, removed or inserted.
        """
        return (msgspec.json.decode(raw, type=Line) for raw in self._raw_lines())

    def _raw_lines(self) -> Iterator[bytes]:
        former = _FIRST
        try:
            content = self._path.read_bytes()
        except FileNotFoundError:
            return
        for number, raw in enumerate(content.split(b"\n")[:-1], 1):
            try:
                named = msgspec.json.decode(raw, type=Line).former_sha256
            except (msgspec.MsgspecError, RecursionError) as error:
                raise LamplighterError(
                    "AUDIT_BROKEN", f"Line {number} of {self._path}: {error}."
                ) from error
            if named != former:
                raise LamplighterError(
                    "AUDIT_BROKEN", f"Line {number} of {self._path} does not follow the one before."
                )
            former = sha256(raw)
            yield raw
