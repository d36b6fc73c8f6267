"""Which windows are meant."""

from collections.abc import Collection
from datetime import datetime
from typing import NamedTuple


class Selection(NamedTuple):
    """Which windows; every bound that is None is open. Upper bounds are excluded."""

    model: str | None = None
    release: int | None = None
    devices: Collection[str] | None = None
    since: datetime | None = None
    until: datetime | None = None
    received_since: datetime | None = None
    received_until: datetime | None = None
