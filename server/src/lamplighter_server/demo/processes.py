"""Child processes of the demo: kept running as systemd would, stopped in reverse order."""

import signal
import subprocess
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Final, Self

STOP_GRACE_S: Final = 10.0
RESTART_DELAY_S: Final = 0.5
MAX_RESTARTS: Final = 5


@dataclass
class _Kept:
    command: list[str]
    environment: dict[str, str]
    process: subprocess.Popen[bytes]
    restarts: int = 0


class Processes:
    """Owns every process that the demo starts; leaving the block stops them all."""

    def __init__(self, log_dir: Path) -> None:
        self._log_dir = log_dir
        self._kept: dict[str, _Kept] = {}
        self._lock = threading.Lock()
        self._leaving = threading.Event()
        self._watcher = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> Self:
        """Own processes from here on."""
        self._watcher.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Stop everything, newest first."""
        self._leaving.set()
        self._watcher.join()
        processes = [kept.process for kept in self._kept.values()][::-1]
        for process in processes:
            if process.poll() is None:
                process.send_signal(signal.SIGTERM)
        for process in processes:
            _end(process)

    def start(self, name: str, command: list[str], environment: Mapping[str, str]) -> None:
        """Start a process whose output goes to `<name>.log`."""
        with self._lock:
            process = self._spawn(name, command, environment)
            self._kept[name] = _Kept(command, dict(environment), process)

    def pid(self, name: str) -> int:
        """The process id under which `name` runs now."""
        return self._kept[name].process.pid

    def log_path(self, name: str) -> Path:
        """Where a process writes."""
        return self._log_dir / f"{name}.log"

    def given_up(self) -> list[str]:
        """Names of processes that have ended more often than they are started again."""
        return [
            name
            for name, kept in self._kept.items()
            if kept.restarts >= MAX_RESTARTS and kept.process.poll() is not None
        ]

    def _spawn(
        self, name: str, command: list[str], environment: Mapping[str, str]
    ) -> subprocess.Popen[bytes]:
        # A session of its own keeps Ctrl-C from reaching it before we stop it in order.
        with self.log_path(name).open("ab") as log:
            return subprocess.Popen(
                command,
                env=dict(environment),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def _watch(self) -> None:
        while not self._leaving.wait(RESTART_DELAY_S):
            with self._lock:
                for name, kept in self._kept.items():
                    if kept.process.poll() is not None and kept.restarts < MAX_RESTARTS:
                        kept.restarts += 1
                        kept.process = self._spawn(name, kept.command, kept.environment)


def _end(process: subprocess.Popen[bytes]) -> None:
    try:
        process.wait(STOP_GRACE_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
