"""Where the agent keeps its things and what can be set."""

import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from lamplighter_agent.app.keys import Choice, Flag, Number, Tables, Text, Whole, Windows, key
from lamplighter_agent.core.conditions import DailyWindow
from lamplighter_agent.observe.inventory import PROBE

DATA_DIR_VARIABLE: Final = "LAMPLIGHTER_AGENT_DATA_DIR"
WORKER: Final = (sys.executable, "-m", "lamplighter_agent.app.lean_worker")
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
    def report_counter(self) -> Path:
        """The counter of the newest report."""
        return self.path / "report-counter"

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
    def carried(self) -> Path:
        """What `lamplighter-agent apply` has handed in."""
        return self.path / "carried.lamp"

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
    def bell(self) -> Path:
        """Where `lamplighter-agent apply` rings."""
        return self.run / "agent.bell"

    @property
    def status(self) -> Path:
        """What `lamplighter-agent status` reads."""
        return self.path / "status.json"


@dataclass(frozen=True)
class Settings:
    """What can be set: keys of the configuration file, and durations that only tests shorten.

    A field made with `key` is a line of the file, with its unit in its name; that one line also
    makes its check and its row in docs/reference/configuration.md.

    Attributes:
        data: The data directory.
        worker_command: How a worker is started, before its own options.
        probe_command: What prints the runtimes that work here.
        trust_grace_s: How long an assignment may wait for metadata that allows it.
        hang_s: How long a worker may give no sign of life.
        watch_interval_s: How often health is judged in probation.
        reconcile_interval_s: How often the assignment is looked at again, for not-before times.
        renewal_interval_s: About how often the age of the certificate is looked at.
        conditions_interval_s: How often a board that is not fit for an update is looked at again.
    """

    data: DataDir
    worker_command: Sequence[str] = WORKER
    probe_command: Sequence[str] = PROBE
    trust_grace_s: float = 5.0
    hang_s: float = 10.0
    watch_interval_s: float = 0.25
    reconcile_interval_s: float = 5.0
    renewal_interval_s: float = 60.0
    conditions_interval_s: float = 15.0

    # Serving
    serve_port: int = key(
        8500,
        Whole(0, 65_535),
        "Loopback port of the first model, the next ones count up; 0 takes free ones.",
    )
    socket_dir: str = key(
        "",
        Text(),
        "Folder of the models' Unix sockets; empty takes 'run' in the data folder.",
    )
    log_level: str = key(
        "info",
        Choice("debug", "info", "warning", "error"),
        "What goes to standard error, and so into the journal.",
    )
    accelerator: str = key(
        "cpu",
        Choice("cpu", "cuda", "tensorrt"),
        "What ONNX models run on; on the CPU where that is missing.",
    )

    # Before an update may go on
    maintenance_windows: tuple[DailyWindow, ...] = key(
        (),
        Windows(),
        "When updates may start and switch, by the board's wall clock; empty means always.",
    )
    not_now_file: str = key(
        "",
        Text(),
        "A file that an application locks (`flock`) to hold updates back; empty means none.",
    )
    not_now_max_s: float = key(
        21_600.0, Number(1, 604_800), "The longest that a lock may hold one update back."
    )
    min_free_memory_mb: float = key(
        32.0, Number(0, 1_000_000), "Memory that must be available before a model is loaded."
    )
    min_free_disk_mb: float = key(
        16.0, Number(0, 1_000_000), "Disk that must stay free when an update's files have come."
    )
    max_temperature_c: float = key(
        0.0, Number(0, 150), "No update above this temperature; 0 means that it does not matter."
    )
    require_mains_power: bool = key(
        False,
        Flag(),
        "Whether updates wait while the board runs on its battery, or cannot tell.",
    )

    # Storage
    disk_budget_mb: float = key(
        0.0,
        Number(0, 10_000_000),
        "What the files of all releases may take together; 0 means what the disk has.",
    )
    outbox_max_mb: float = key(
        16.0,
        Number(0.1, 10_000),
        "What telemetry that the server does not have yet may take; the oldest is dropped, vitals "
        "first, then events, then windows.",
    )

    # The link
    vitals_interval_s: float = key(900.0, Number(0.1, 86_400), "How often vitals are sent.")
    keepalive_s: int = key(
        300,
        Whole(5, 3600),
        "How long the link may be silent; a lost one is noticed after one and a half times that.",
    )
    transport: str = key(
        "auto",
        Choice("auto", "mqtt", "https"),
        "How files come; auto takes HTTPS where MQTT brings none.",
    )
    fetch_rate_kb_s: float = key(
        0.0, Number(0, 1_000_000), "Kilobytes of files that may come in a second; 0 for no limit."
    )
    fetch_budget_mb: float = key(
        0.0, Number(0, 1_000_000), "Megabytes of files that may come in a period; 0 for no limit."
    )
    fetch_budget_period: str = key(
        "month", Choice("day", "month"), "The period of the budget, in UTC."
    )
    stall_s: float = key(
        10.0,
        Number(0.1, 3600),
        "How long no chunk may come before it is asked for again; after three times that the other "
        "transport is tried.",
    )
    retry_first_s: float = key(
        1.0,
        Number(0.01, 3600),
        "The first pause after a step that may succeed later; it doubles.",
    )
    retry_max_s: float = key(60.0, Number(0.01, 86_400), "The longest such pause.")

    # What users add
    source: tuple[Mapping[str, Any], ...] = key((), Tables(), "Where input comes from.")
    sink: tuple[Mapping[str, Any], ...] = key((), Tables(), "Where answers go.")

    @property
    def sockets(self) -> Path:
        """Where the Unix sockets are made."""
        return Path(self.socket_dir) if self.socket_dir else self.data.run
