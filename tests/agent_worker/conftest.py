"""A real release and real worker processes."""

import asyncio
import os
import socket
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TypeVar

import msgspec
import numpy as np
import numpy.typing as npt
import pytest

from lamplighter_agent.ports.worker import FromWorker, Loaded, ToWorker
from lamplighter_converters.pack import Bundle
from lamplighter_server.training.experiment import RECIPES
from lamplighter_server.training.release import build_release
from lamplighter_server.training.run import prepare, run_experiment

T = TypeVar("T", bound=FromWorker)


@pytest.fixture(scope="session")
def bundle() -> Bundle:
    return build_release(run_experiment(RECIPES["baseline"]), 1).bundle


@pytest.fixture(scope="session")
def images() -> npt.NDArray[np.float32]:
    return prepare(RECIPES["baseline"])[1].images


@pytest.fixture
def files(bundle: Bundle, tmp_path: Path) -> Path:
    for name, raw in bundle.files.items():
        (tmp_path / name).write_bytes(raw)
    (tmp_path / "bundle.json").write_bytes(bundle.manifest_raw)
    return tmp_path


@pytest.fixture
def listening() -> Iterator[socket.socket]:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        sock.listen(128)
        yield sock


class WorkerProcess:
    """The supervisor's end of a worker."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process

    def tell(self, command: ToWorker) -> None:
        self.tell_raw(msgspec.json.encode(command))

    def tell_raw(self, line: bytes) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(line + b"\n")

    async def hear(self, kind: type[T]) -> T:
        """The next message of a kind; others are passed over."""
        assert self.process.stdout is not None
        while True:
            line = await asyncio.wait_for(self.process.stdout.readline(), 20)
            assert line, "the worker has ended"
            message = msgspec.json.decode(line, type=FromWorker)
            if isinstance(message, kind):
                return message


@asynccontextmanager
async def start_worker(
    files: Path,
    listening: socket.socket | None = None,
    *,
    variant: str = "onnx-int8",
    home: Path | None = None,
) -> AsyncIterator[WorkerProcess]:
    descriptors = [listening.fileno()] if listening else []
    log = (files / "worker.log").open("ab")
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "lamplighter_agent.app.worker"),
        *("--manifest", str(files / "bundle.json"), "--variant", variant, "--files", str(files)),
        *(part for number in descriptors for part in ("--listen-fd", str(number))),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=log,
        pass_fds=descriptors,
        env={**os.environ, "HOME": str(home or files)},
    )
    worker = WorkerProcess(process)
    try:
        yield worker
    finally:
        log.close()
        if process.returncode is None:
            process.kill()
        await process.wait()


async def ready_worker(worker: WorkerProcess) -> WorkerProcess:
    loaded = await worker.hear(Loaded)
    assert loaded.failure is None
    return worker
