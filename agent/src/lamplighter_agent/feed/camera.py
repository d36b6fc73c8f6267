"""A camera, a stream or a file of video, through OpenCV (the extra `camera`)."""

import time
from collections.abc import Iterator
from datetime import datetime, timezone
from functools import partial
from typing import Any

import msgspec

from lamplighter_agent.feed.pictures import Picture, open_capture
from lamplighter_agent.ports.feed import Item
from lamplighter_agent.ports.session import Array


class _Table(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    device: int | str = 0
    """A number, or a path or address that OpenCV opens."""
    interval_s: float = 1.0
    picture: Picture


class CameraSource:
    """The newest frame, every so often; what comes between is left out."""

    def __init__(self, table: dict[str, Any]) -> None:
        self._table = msgspec.convert(table, _Table)
        if self._table.interval_s < 0:
            raise ValueError("interval_s must not be negative")

    def items(self) -> Iterator[Item]:
        """See ports.feed."""
        capture = open_capture(self._table.device)
        try:
            due_mono = time.monotonic()
            while capture.grab():  # frames that wait in the driver are old by now
                if time.monotonic() < due_mono:
                    continue
                due_mono = time.monotonic() + self._table.interval_s
                has_come, frame = capture.retrieve()
                if has_come:
                    pixels = self._table.picture.take(frame)
                    now_utc = datetime.now(timezone.utc)
                    yield Item(now_utc.isoformat(), partial(_same, pixels))
        finally:
            capture.release()
        raise OSError(f"{self._table.device!r} gives no frame")

    def done(self, item: Item, *, ok: bool) -> None:
        """A frame does not come again."""


def _same(pixels: Array) -> Array:
    return pixels
