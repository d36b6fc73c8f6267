"""The command line as a person runs it, in processes of its own."""

import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

COMMAND = [sys.executable, "-m", "lamplighter_server.cli"]


def run(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*COMMAND, *arguments],
        env={**os.environ, "COLUMNS": "200", **environment},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


@dataclass
class Up:
    """A server that runs as a person would start it."""

    process: subprocess.Popen[str]
    address: str
    data_dir: Path
    ports: list[str]

    def run(self, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        return run(
            *("--server", self.address, *arguments),
            LAMPLIGHTER_DATA_DIR=str(self.data_dir),
            **environment,
        )
