"""Models run without a connection and without a file: every system call that could is seen."""

import asyncio
import http.client
import os
import re
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.agent_worker.conftest import ready_worker, start_worker
from tests.agent_worker.test_runtime_contract import MODELS
from tests.agent_worker.test_worker_process import Images, infer

from lamplighter_agent.ports.worker import (
    Beat,
    Collect,
    Counted,
    SelfTest,
    SelfTested,
    Serve,
    Serving,
    Stop,
)
from lamplighter_protocol.bundle import Runtime

_RUN = """
import sys
from pathlib import Path
import numpy as np
from lamplighter_agent.runtime.load import load
load(sys.argv[1], Path(sys.argv[2])).run({"x": np.zeros((2, 4), np.float32)})
"""
_CONNECT = "import socket; socket.socket().connect_ex(('127.0.0.1', 9))"
_CALLS = "trace=open,openat,openat2,creat,mkdir,mkdirat,symlink,symlinkat,link,linkat,socket"
_WRITES = re.compile(r"(?:\b(?:creat|mkdir\w*|symlink\w*|link\w*)\(|O_(?:WRONLY|RDWR|CREAT))")
_PATH = re.compile(r'"([^"]*)"')
_SPEAKS = re.compile(r"\bsocket\((?!AF_UNIX)")


class Watched:
    """A process, with every file that it writes and every socket that it makes."""

    def __init__(self, folder: Path, strace: str) -> None:
        self.home = folder / "home"
        self.home.mkdir()
        self._log = folder / "trace"
        self.tracer = (strace, "-f", "-o", str(self._log), "-e", _CALLS)

    def run(self, *arguments: str) -> None:
        """Run a Python program."""
        command = [*self.tracer, sys.executable, *arguments]
        subprocess.run(command, env={**os.environ, "HOME": str(self.home)}, check=True, timeout=100)

    @property
    def _lines(self) -> list[str]:
        lines = self._log.read_text().splitlines()
        assert any("openat(" in line for line in lines), "nothing was traced"
        return lines

    @property
    def written(self) -> set[str]:
        """What it has opened to write, or made."""
        found = {_PATH.findall(line)[-1] for line in self._lines if _WRITES.search(line)}
        return found - {"/dev/null"}

    @property
    def sockets(self) -> list[str]:
        """Sockets with which another machine can be reached."""
        return [line for line in self._lines if _SPEAKS.search(line)]


@pytest.fixture
def watched(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, require_program: Callable[[str], str]
) -> Watched:
    for quiet in ("ORT_DISABLE_TELEMETRY", "CI"):  # what is off by itself proves nothing
        monkeypatch.delenv(quiet, raising=False)
    monkeypatch.setenv("PYTHONDONTWRITEBYTECODE", "1")
    folder = tmp_path / "watched"
    folder.mkdir()
    return Watched(folder, require_program("strace"))


async def test_a_worker_that_serves_writes_no_file_and_opens_no_connection(
    files: Path, listening: socket.socket, images: Images, watched: Watched
) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", listening.getsockname()[1], timeout=30)
    async with start_worker(files, listening, home=watched.home, tracer=watched.tracer) as worker:
        await ready_worker(worker)
        worker.tell(SelfTest())
        assert (await worker.hear(SelfTested)).failure is None
        worker.tell(Serve())
        await worker.hear(Serving)
        for _ in range(3):
            assert (await asyncio.to_thread(infer, connection, images[:2]))[0] == 200
        connection.close()
        worker.tell(Collect(1))
        assert (await worker.hear(Counted)).counts.requests == 3
        for _ in range(3):  # what is sent later is sent by a timer
            await worker.hear(Beat)
        worker.tell(Stop())
        await asyncio.wait_for(worker.process.wait(), 20)
    assert watched.sockets == []
    assert watched.written == set()
    assert [*watched.home.rglob("*")] == []


@pytest.mark.parametrize("runtime", ["onnxruntime", "litert"])
def test_a_runtime_writes_no_file_and_opens_no_connection(
    tmp_path: Path, runtime: Runtime, watched: Watched
) -> None:
    model = tmp_path / "model"
    model.write_bytes(MODELS[runtime, "float"]())
    watched.run("-c", _RUN, runtime, str(model))
    assert watched.sockets == []
    assert watched.written == set()
    assert [*watched.home.rglob("*")] == []


def test_the_same_look_finds_a_runtime_that_keeps_a_file(watched: Watched) -> None:
    """The control: onnxruntime as it comes keeps a database of what it would report."""
    watched.run("-c", "import onnxruntime")
    assert any("onnxruntime.db" in path for path in watched.written)


def test_the_same_look_finds_a_connection(watched: Watched) -> None:
    watched.run("-c", _CONNECT)
    assert len(watched.sockets) == 1


def test_the_unit_says_so_too() -> None:
    root = Path(__file__).parents[2]
    unit = (root / "deploy/systemd/lamplighter-agent.service").read_text()
    assert "Environment=ORT_DISABLE_TELEMETRY=1" in unit
