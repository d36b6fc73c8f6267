"""The state of the board, as the vitals stream carries it."""

import time
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path

import psutil

from lamplighter_agent.observe import sysfs
from lamplighter_protocol.telemetry import Vitals

_MB = 2**20
#: With the time that the board was asleep, where the kernel counts it.
_SINCE_BOOT = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)


def take_vitals(
    at_utc: datetime,
    disk: Path,
    worker_rss_mb: Mapping[str, float],
    dropped: Mapping[str, int],
    sysfs_root: Path = sysfs.SYS,
) -> Vitals:
    """Measure the board.

    Args:
        at_utc: The best known time.
        disk: A path on the file system whose free space counts.
        worker_rss_mb: Resident memory of the serving workers, by model.
        dropped: Messages ever dropped from the outbox, by stream.
        sysfs_root: Where the kernel shows its sensors.
    """
    return Vitals(
        at_utc=at_utc,
        cpu_percent=psutil.cpu_percent(),
        memory_used_mb=round(psutil.virtual_memory().used / _MB, 1),
        disk_free_mb=round(psutil.disk_usage(str(disk)).free / _MB, 1),
        temperature_c=sysfs.temperature_c(sysfs_root),
        throttling=sysfs.throttling(sysfs_root),
        gpu_percent=sysfs.gpu_percent(sysfs_root),
        power_w=sysfs.power_w(sysfs_root),
        uptime_s=round(time.clock_gettime(_SINCE_BOOT), 1),
        supervisor_rss_mb=round(psutil.Process().memory_info().rss / _MB, 1),
        worker_rss_mb=dict(worker_rss_mb),
        dropped=dict(dropped),
    )
