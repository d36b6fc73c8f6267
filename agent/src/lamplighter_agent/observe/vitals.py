"""The state of the board, as the vitals stream carries it."""

from collections.abc import Mapping
from datetime import datetime
from pathlib import Path

import psutil

from lamplighter_protocol.telemetry import Vitals

_MB = 2**20


def take_vitals(
    at_utc: datetime,
    disk: Path,
    worker_rss_mb: Mapping[str, float],
    dropped: Mapping[str, int],
) -> Vitals:
    """Measure the board.

    Args:
        at_utc: The best known time.
        disk: A path on the file system whose free space counts.
        worker_rss_mb: Resident memory of the serving workers, by model.
        dropped: Messages ever dropped from the outbox, by stream.
    """
    return Vitals(
        at_utc=at_utc,
        cpu_percent=psutil.cpu_percent(),
        memory_used_mb=round(psutil.virtual_memory().used / _MB, 1),
        disk_free_mb=round(psutil.disk_usage(str(disk)).free / _MB, 1),
        temperature_c=_temperature_c(),
        uptime_s=max(0.0, round(at_utc.timestamp() - psutil.boot_time(), 1)),
        supervisor_rss_mb=round(psutil.Process().memory_info().rss / _MB, 1),
        worker_rss_mb=dict(worker_rss_mb),
        dropped=dict(dropped),
    )


def _temperature_c() -> float | None:
    """The hottest sensor; None where the board shows none (psutil has none on macOS)."""
    if not hasattr(psutil, "sensors_temperatures"):
        return None
    sensors = psutil.sensors_temperatures()
    readings = [entry.current for entries in sensors.values() for entry in entries]
    return round(max(readings), 1) if readings else None
