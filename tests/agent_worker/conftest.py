"""A real release and real worker processes."""

import asyncio
import os
import socket
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TypeVar

import msgspec
import numpy as np
import numpy.typing as npt
import pytest
from tests.agent_worker.small_release import VARIANT, Bundle, digits, pack, train

from lamplighter_agent.app.config import WORKER
from lamplighter_agent.ports.worker import FromWorker, Loaded, ToWorker

T = TypeVar("T", bound=FromWorker)
MESSAGES = msgspec.json.Decoder(FromWorker)


@pytest.fixture(scope="session")
def bundle() -> Bundle:
    images, labels = digits()
    return pack(train(images, labels), images)


@pytest.fixture(scope="session")
def images() -> npt.NDArray[np.float32]:
    return digits()[0]


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


@pytest.fixture
def listening_unix(tmp_path: Path) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX) as sock:
        sock.bind(str(tmp_path / "model.sock"))
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
            message = MESSAGES.decode(line)
            if isinstance(message, kind):
                return message


@asynccontextmanager
async def start_worker(
    files: Path,
    listening: socket.socket | None = None,
    *,
    variant: str = VARIANT,
    home: Path | None = None,
    stdout: int = asyncio.subprocess.PIPE,
    tracer: Sequence[str] = (),
) -> AsyncIterator[WorkerProcess]:
    descriptors = [listening.fileno()] if listening else []
    log = (files / "worker.log").open("ab")
    process = await asyncio.create_subprocess_exec(
        *(*tracer, *WORKER),
        *("--manifest", str(files / "bundle.json"), "--variant", variant, "--files", str(files)),
        *(part for number in descriptors for part in ("--listen-fd", str(number))),
        stdin=asyncio.subprocess.PIPE,
        stdout=stdout,
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
