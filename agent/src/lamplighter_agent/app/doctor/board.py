"""What the board itself shows: its disk, its memory, its heat."""

import os
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import psutil

from lamplighter_agent.app.config import DataDir, Settings
from lamplighter_agent.app.doctor.findings import (
    Finding,
    fail,
    judge_fsync,
    judge_heat,
    judge_memory,
    judge_secret,
    judge_space,
    ok,
)
from lamplighter_agent.durable import fsync_directory
from lamplighter_agent.observe import sysfs
from lamplighter_agent.store.identity import SECRET

_MB = 2**20


def check_storage(settings: Settings) -> Iterator[Finding]:
    """The data folder: there, writable, durable, and with room."""
    folder = settings.data.path
    if not os.access(folder, os.R_OK | os.W_OK | os.X_OK):
        yield fail(
            "storage",
            f"{folder} is missing, or this user may not use it.",
            "Run this as the agent's user: 'sudo -u lamplighter-agent lamplighter-agent doctor'; "
            "before the first enrolment make the folder.",
        )
        return
    state = os.statvfs(folder)
    yield judge_space(
        state.f_bavail * state.f_frsize / _MB,
        state.f_favail if state.f_files else None,
        settings.min_free_disk_mb,
    )
    yield judge_fsync(_time_durable_write(folder))


def _time_durable_write(folder: Path) -> float:
    started_mono = time.perf_counter()
    with tempfile.NamedTemporaryFile(dir=folder, prefix="doctor-") as file:
        file.write(b"doctor")
        file.flush()
        os.fsync(file.fileno())
        fsync_directory(folder)
        return time.perf_counter() - started_mono


def check_secrets(data: DataDir) -> Iterator[Finding]:
    """Who may read the keys."""
    folder = data.path.stat()
    places = [*(data.identity / name for name in sorted(SECRET)), data.offered]
    found = False
    for place in filter(Path.exists, places):
        state = place.stat()
        finding = judge_secret(str(place), state.st_mode, own=state.st_uid == folder.st_uid)
        if finding is not None:
            found = True
            yield finding
    if not found:
        yield ok("secrets", "Only their owner may read the keys.")


def check_memory(settings: Settings) -> Iterator[Finding]:
    """What a new worker could have."""
    available_mb = psutil.virtual_memory().available / _MB
    yield judge_memory(available_mb, settings.min_free_memory_mb)


def check_heat(root: Path = sysfs.SYS) -> Iterator[Finding]:
    """The temperature, and what the firmware does about it."""
    yield judge_heat(sysfs.temperature_c(root), sysfs.throttling(root))
