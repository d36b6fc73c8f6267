"""Waits until the board is fit for an update, and tells why it waits."""

import asyncio
from collections.abc import Callable
from datetime import datetime
from pathlib import Path

import psutil

from lamplighter_agent.app.config import Settings
from lamplighter_agent.core.conditions import Board, Limits, waits_for
from lamplighter_agent.observe import sysfs
from lamplighter_agent.observe.hold import is_held
from lamplighter_agent.store.blobs import BlobStore
from lamplighter_protocol.reported import Failure

_MB = 2**20


class Conditions:
    """Looks at the board each time that an update would go on.

    Args:
        settings: The limits, and how often the board is looked at.
        blobs: What counts against the disk budget.
        is_synchronised: Whether the clock can be believed.
        sysfs_root: Where the kernel shows its sensors.
    """

    def __init__(
        self,
        settings: Settings,
        blobs: BlobStore,
        is_synchronised: Callable[[], bool],
        sysfs_root: Path = sysfs.SYS,
    ) -> None:
        self._settings = settings
        self._blobs = blobs
        self._is_synchronised = is_synchronised
        self._sysfs_root = sysfs_root
        self._limits = Limits(
            windows=settings.maintenance_windows,
            hold_max_s=settings.not_now_max_s,
            min_free_memory_mb=settings.min_free_memory_mb,
            min_free_disk_mb=settings.min_free_disk_mb,
            max_temperature_c=settings.max_temperature_c,
            require_mains_power=settings.require_mains_power,
        )

    async def wait(self, needed_bytes: int, on_reason: Callable[[Failure], None]) -> None:
        """Return when nothing speaks against going on.

        Args:
            needed_bytes: What the next step adds to the disk.
            on_reason: Told at each look why it still waits; what it raises ends the waiting.
        """
        loop = asyncio.get_running_loop()
        held_since_mono: float | None = None
        while True:
            now_mono = loop.time()
            held_since_mono = (held_since_mono or now_mono) if self._is_held() else None
            board = self._see(None if held_since_mono is None else now_mono - held_since_mono)
            reason = waits_for(board, self._limits, needed_bytes / _MB)
            if reason is None:
                return
            on_reason(reason)
            await asyncio.sleep(self._settings.conditions_interval_s)

    def _is_held(self) -> bool:
        place = self._settings.not_now_file
        return bool(place) and is_held(Path(place))

    def _see(self, held_s: float | None) -> Board:
        return Board(
            disk_free_mb=self._room_mb(),
            memory_available_mb=psutil.virtual_memory().available / _MB,
            temperature_c=sysfs.temperature_c(self._sysfs_root),
            on_mains=sysfs.on_mains(self._sysfs_root),
            local=datetime.now().astimezone() if self._is_synchronised() else None,
            held_s=held_s,
        )

    def _room_mb(self) -> float:
        """What the disk has, and the budget leaves."""
        free_mb: float = psutil.disk_usage(str(self._settings.data.path)).free / _MB
        budget_mb = self._settings.disk_budget_mb
        if not budget_mb:
            return free_mb
        left_mb: float = budget_mb - self._blobs.size_bytes() / _MB
        return min(free_mb, left_mb + self._settings.min_free_disk_mb)
