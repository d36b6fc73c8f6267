"""Child processes of the demo: started in order, always stopped in reverse."""

import signal
import subprocess
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Final, Self

STOP_GRACE_S: Final = 10.0


class Processes:
    """Owns every process that the demo starts; leaving the block stops them all."""

    def __init__(self, log_dir: Path) -> None:
        self._log_dir = log_dir
        self._running: dict[str, subprocess.Popen[bytes]] = {}

    def __enter__(self) -> Self:
        """Own processes from here on."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Stop everything, newest first."""
        processes = list(self._running.values())[::-1]
        for process in processes:
            if process.poll() is None:
                process.send_signal(signal.SIGTERM)
        for process in processes:
            _end(process)

    def start(self, name: str, command: list[str], environment: Mapping[str, str]) -> int:
        """Start a process whose output goes to `<name>.log`; returns its id.

        A session of its own keeps Ctrl-C from reaching it before the demo stops it in order.
        """
        with self.log_path(name).open("ab") as log:
            process = subprocess.Popen(
                command,
                env=dict(environment),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        self._running[name] = process
        return process.pid

    def log_path(self, name: str) -> Path:
        """Where a process writes."""
        return self._log_dir / f"{name}.log"

    def died(self) -> list[str]:
        """Names of processes that have ended by themselves."""
        return [name for name, process in self._running.items() if process.poll() is not None]


def _end(process: subprocess.Popen[bytes]) -> None:
    try:
        process.wait(STOP_GRACE_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
