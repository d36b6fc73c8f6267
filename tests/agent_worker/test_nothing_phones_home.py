"""Loading and running a model opens no connection and writes no file: every system call is seen."""

import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.agent_worker.test_runtime_contract import MODELS

from lamplighter_protocol.bundle import Runtime

_RUN = """
import sys
from pathlib import Path
import numpy as np
from lamplighter_agent.runtime.load import load
load(sys.argv[1], Path(sys.argv[2])).run({"x": np.zeros((2, 4), np.float32)})
"""
_IMPORT = "import os; os.environ.pop('ORT_DISABLE_TELEMETRY', None); import onnxruntime"
_OPENED_TO_WRITE = re.compile(r'open(?:at)?\(.*"([^"]*)".*O_(?:WRONLY|RDWR|CREAT)')
_CONNECTED = re.compile(r"(?:connect|sendto|sendmsg)\(.*(AF_INET6?|sin_port)")


class Traced:
    """What a Python program did."""

    def __init__(self, home: Path, *arguments: str) -> None:
        log = home / "trace"
        home_of_it = home / "home"
        home_of_it.mkdir()
        quiet = {"ORT_DISABLE_TELEMETRY", "CI"}
        env = {name: value for name, value in os.environ.items() if name not in quiet}
        calls = "trace=open,openat,creat,mkdir,mkdirat,connect,sendto,sendmsg,bind"
        subprocess.run(
            ["strace", "-f", "-o", str(log), "-e", calls, sys.executable, "-B", "-c", *arguments],
            env={**env, "HOME": str(home_of_it), "PYTHONDONTWRITEBYTECODE": "1"},
            check=True,
            timeout=100,
        )
        lines = log.read_text().splitlines()
        assert any("openat(" in line for line in lines), "nothing was traced"
        found = [match[1] for line in lines if (match := _OPENED_TO_WRITE.search(line))]
        self.written = {path for path in found if not path.startswith(("/dev/", "/proc/self/"))}
        self.connected = [line for line in lines if _CONNECTED.search(line)]
        self.files = [path for path in home_of_it.rglob("*") if path.is_file()]


@pytest.mark.parametrize("runtime", ["onnxruntime", "litert"])
def test_a_runtime_writes_no_file_and_opens_no_connection(
    tmp_path: Path, runtime: Runtime, require_program: Callable[[str], str]
) -> None:
    require_program("strace")
    model = tmp_path / "model"
    model.write_bytes(MODELS[runtime, "float"]())
    traced = Traced(tmp_path, _RUN, runtime, str(model))
    assert traced.connected == []
    assert traced.written == set()
    assert traced.files == []


def test_the_same_look_finds_a_runtime_that_does(
    tmp_path: Path, require_program: Callable[[str], str]
) -> None:
    """The control: onnxruntime as it comes keeps a database of what it would report."""
    require_program("strace")
    traced = Traced(tmp_path, _IMPORT)
    assert any("onnxruntime" in path for path in traced.written)
    assert traced.files


def test_the_unit_says_so_too() -> None:
    root = Path(__file__).parents[2]
    unit = (root / "deploy/systemd/lamplighter-agent.service").read_text()
    assert "Environment=ORT_DISABLE_TELEMETRY=1" in unit
