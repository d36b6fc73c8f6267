"""Where the agent keeps its things and what can be set."""

import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

from lamplighter_agent.core.budget import Period
from lamplighter_agent.observe.inventory import PROBE

DATA_DIR_VARIABLE: Final = "LAMPLIGHTER_AGENT_DATA_DIR"
WORKER: Final = (sys.executable, "-m", "lamplighter_agent.app.worker")
Transports = Literal["auto", "mqtt", "https"]
DEFAULT_DATA_DIR: Final = Path("/var/lib/lamplighter-agent")


@dataclass(frozen=True)
class DataDir:
    """The layout of the data directory."""

    path: Path

    @classmethod
    def choose(cls, option: Path | None) -> "DataDir":
        """The option, else the environment, else the default."""
        return cls(option or Path(os.environ.get(DATA_DIR_VARIABLE) or DEFAULT_DATA_DIR))

    @property
    def identity(self) -> Path:
        """What enrolment gave; lives outside of what is updated."""
        return self.path / "identity"

    @property
    def offered(self) -> Path:
        """Keys of a board that asks to be let in."""
        return self.path / "offered.pem"

    @property
    def journal(self) -> Path:
        """What the agent must remember."""
        return self.path / "journal.json"

    @property
    def high_water(self) -> Path:
        """The newest generation ever accepted; outlives the journal."""
        return self.path / "high-water.json"

    @property
    def outbox(self) -> Path:
        """Telemetry that the server does not have yet."""
        return self.path / "outbox.sqlite3"

    @property
    def blobs(self) -> Path:
        """Content-addressed files."""
        return self.path / "blobs"

    @property
    def trust(self) -> Path:
        """Verified metadata and the inbox."""
        return self.path / "trust"

    @property
    def reported(self) -> Path:
        """The newest report as it was signed."""
        return self.path / "reported.dsse.json"

    @property
    def spent(self) -> Path:
        """What was fetched in this day or month."""
        return self.path / "spent.json"

    @property
    def run(self) -> Path:
        """Sockets, and a folder of links per worker; made anew at each start."""
        return self.path / "run"

    @property
    def counts(self) -> Path:
        """Where clients in other processes hand over what they counted; no model's socket."""
        return self.run / "agent.counts"

    @property
    def status(self) -> Path:
        """What `lamplighter-agent status` reads."""
        return self.path / "status.json"


@dataclass(frozen=True)
class Settings:
    """What can be set; the durations are constants of the product that tests shorten.

    Attributes:
        data: The data directory.
        serve_port: The loopback port of the first model, the next ones count up; 0 takes free
            ones.
        socket_dir: Where the models' Unix sockets are made; None takes the data directory's `run`.
        worker_command: How a worker is started, before its own options.
        probe_command: What prints the runtimes that work here.
        vitals_interval_s: How often vitals are taken.
        outbox_max_bytes: Bound on waiting telemetry.
        transport: How files come: "mqtt", "https", or "auto": over HTTPS where MQTT brings none.
        fetch_rate_kb_s: How many kilobytes of files may come in a second; 0 for no limit.
        fetch_budget_mb: How many megabytes of files may come in a period; 0 for no limit.
        fetch_budget_period: "day" or "month", in UTC.
        stall_s: How long no chunk may come before it is asked for again; after three times that
            the other transport is tried.
        retry_first_s: The first pause after a step that may succeed later; it doubles.
        retry_max_s: The longest pause.
        trust_grace_s: How long an assignment may wait for metadata that allows it.
        hang_s: How long a worker may give no sign of life.
        watch_interval_s: How often health is judged in probation.
        reconcile_interval_s: How often the assignment is looked at again, for not-before times.
        renewal_interval_s: About how often the age of the certificate is looked at.
    """

    data: DataDir
    serve_port: int
    socket_dir: Path | None = None
    worker_command: Sequence[str] = WORKER
    probe_command: Sequence[str] = PROBE
    vitals_interval_s: float = 10.0
    outbox_max_bytes: int = 16 * 1024 * 1024
    transport: Transports = "auto"
    fetch_rate_kb_s: float = 0.0
    fetch_budget_mb: float = 0.0
    fetch_budget_period: Period = "month"
    stall_s: float = 10.0
    retry_first_s: float = 1.0
    retry_max_s: float = 60.0
    trust_grace_s: float = 5.0
    hang_s: float = 10.0
    watch_interval_s: float = 0.25
    reconcile_interval_s: float = 5.0
    renewal_interval_s: float = 60.0

    @property
    def sockets(self) -> Path:
        """Where the Unix sockets are made."""
        return self.socket_dir or self.data.run
