"""Where the story plays: one server, its broker, N agents and their cameras, on this machine."""

import os
import secrets
import socket
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Literal, TypeVar

import msgspec
import psutil

from lamplighter_protocol.bundle import HealthPolicy
from lamplighter_protocol.errors import LamplighterError
from lamplighter_server.cli.api import Api
from lamplighter_server.demo.cameras import Camera, Tally
from lamplighter_server.demo.processes import Processes
from lamplighter_server.demo.view import View
from lamplighter_server.training.experiment import RECIPES
from lamplighter_server.training.run import prepare

MODEL: Final = "meter-digits"
SITES: Final = ("harbour", "mill", "station")
WINDOW_S: Final = 2
DRIFT_INTERVAL_S: Final = 4
READ_INTERVAL_S: Final = 0.05
POLL_INTERVAL_S: Final = 0.2

#: The agents' own file: a story of a minute wants to see more than a board in the field tells,
#: and takes this machine as it finds it.
AGENT_CONFIG: Final = (
    "vitals_interval_s = 10\nkeepalive_s = 30\nmin_free_disk_mb = 0\nmin_free_memory_mb = 0\n"
)
#: Two seconds of probation; nobody reads a meter before the first release is there.
HEALTH: Final = HealthPolicy(
    probation_s=2.0,
    probation_max_s=30.0,
    latency_p99_budget_ms=500.0,
    output_shift_max=0.3,
    output_shift_min_requests=60,
)
#: Later releases must prove themselves on live readings before they are committed.
LIVE_HEALTH: Final = msgspec.structs.replace(HEALTH, min_requests=30)

T = TypeVar("T")


class StepFailedError(Exception):
    """Something that the story promises did not hold."""


def require(condition: bool, sentence: str) -> None:
    """Stop the story unless the condition, read from what the parts report, holds."""
    if not condition:
        raise StepFailedError(sentence)


def free_port() -> int:
    """A port of the loopback interface that nobody uses now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@dataclass
class Stage:
    """Everything that the steps share."""

    folder: Path
    devices: int
    processes: Processes
    view: View
    passphrase: str = field(default_factory=lambda: secrets.token_urlsafe(18))
    cameras: dict[str, Camera] = field(default_factory=dict)
    rested: Tally = field(default_factory=Tally)
    """What cameras have counted that were stopped since."""
    api: Api = field(init=False)
    console: str = ""

    @property
    def names(self) -> list[str]:
        """The devices' ids."""
        return [f"meter-{number:02}" for number in range(1, self.devices + 1)]

    def site(self, name: str) -> str:
        """The site of a device: the sites take turns."""
        return SITES[self.names.index(name) % len(SITES)]

    def start_server(self) -> None:
        """Start `lamplighter up` on free ports and wait until it answers."""
        port = free_port()
        data = self.folder / "server"
        self._run(
            "server",
            [
                *("-m", "lamplighter_server.cli", "up", "--data-dir", str(data)),
                *("--port", str(port), "--device-port", str(free_port())),
                *("--broker-port", str(free_port()), "--window-s", str(WINDOW_S)),
            ],
        )
        self.console = f"http://127.0.0.1:{port}"
        token = data / "admin.token"
        self.wait("the server to answer", lambda: token.exists() and _answers(port), timeout_s=30)
        self.api = Api(self.console, token.read_text().strip())

    def start_agent(self, name: str) -> None:
        """Start the agent of an enrolled device."""
        config = self.folder / "devices" / "agent.toml"
        config.write_text(AGENT_CONFIG)
        command = ["-m", "lamplighter_agent", "run", "--config", str(config), "--serve-port"]
        self._run(name, [*command, str(free_port()), "--data-dir", str(self.data_dir(name))])

    def _run(self, name: str, arguments: list[str]) -> None:
        environment = {
            **os.environ,
            "LAMPLIGHTER_TICK_S": "0.3",
            "LAMPLIGHTER_DRIFT_INTERVAL_S": str(DRIFT_INTERVAL_S),
        }
        self.processes.start(name, [sys.executable, *arguments], environment)

    def enrol(self, name: str, invitation: str) -> subprocess.CompletedProcess[str]:
        """Run `lamplighter-agent enrol` as a person would."""
        return subprocess.run(
            [
                *(sys.executable, "-m", "lamplighter_agent", "enrol", invitation),
                *("--data-dir", str(self.data_dir(name))),
            ],
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )

    @property
    def keys_dir(self) -> Path:
        """The offline keys: not in the server's folder."""
        return self.folder / "offline-keys"

    def data_dir(self, name: str) -> Path:
        """Where a device keeps its own data."""
        return self.folder / "devices" / name

    def agent_status(self, name: str) -> dict[str, Any]:
        """What the agent says of itself, as `lamplighter-agent status --json` would."""
        raw = (self.data_dir(name) / "status.json").read_bytes()
        status: dict[str, Any] = msgspec.json.decode(raw)
        return status

    def start_cameras(self) -> None:
        """One camera for each device, on held-out digits that no training has seen."""
        _, held_out = prepare(RECIPES["baseline"])
        for number, name in enumerate(self.names):
            serve = self.agent_status(name)["serve"][MODEL]
            camera = Camera(
                address=serve["url"],
                model=MODEL,
                images=held_out.images,
                labels=held_out.labels,
                image=held_out.image,
                seed=number,
                interval_s=READ_INTERVAL_S,
            )
            self.cameras[name] = camera
            camera.start()

    def stop_cameras(self) -> None:
        """End every camera after the request that is under way."""
        for camera in self.cameras.values():
            camera.stop()
        for camera in self.cameras.values():
            camera.join()
            self.rested += camera.tally
        self.cameras = {}

    def tally(self) -> Tally:
        """What all cameras have counted so far."""
        return sum((camera.tally for camera in self.cameras.values()), self.rested)

    def median_rss_mb(self, part: Literal["supervisor", "worker"]) -> float:
        """The resident memory of the agents' supervisors or workers, as the kernel counts it."""
        sizes = []
        for name in self.names:
            status = self.agent_status(name)
            pid = status["pid"] if part == "supervisor" else status["serve"][MODEL]["worker_pid"]
            size_bytes: int = psutil.Process(pid).memory_info().rss
            sizes.append(size_bytes / 2**20)
        return round(statistics.median(sizes), 1)

    def close(self) -> None:
        """End what is not a process."""
        self.stop_cameras()
        if hasattr(self, "api"):
            self.api.close()

    def wait(
        self, what: str, look: Callable[[], T | bool | None], *, timeout_s: float = 60
    ) -> T | bool:
        """Look until there is something to see.

        Raises:
            StepFailedError: Nothing within the time, or a process keeps ending.
        """
        end_mono = time.monotonic() + timeout_s
        while time.monotonic() < end_mono:
            try:
                if seen := look():
                    return seen
            except LamplighterError as error:
                if not error.retryable:
                    raise
            if gone := self.processes.given_up():
                log = self.processes.log_path(gone[0])
                tail = log.read_text(errors="replace").strip().splitlines()[-1:]
                raise StepFailedError(f"{gone[0]} keeps ending: {''.join(tail)}")
            time.sleep(POLL_INTERVAL_S)
        raise StepFailedError(f"Waited {timeout_s:.0f} s in vain for {what}.")


def _answers(port: int) -> bool:
    with socket.socket() as probe:
        probe.settimeout(0.2)
        return probe.connect_ex(("127.0.0.1", port)) == 0
