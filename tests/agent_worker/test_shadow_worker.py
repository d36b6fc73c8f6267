"""Two real workers: one answers, the other sees copies."""

import asyncio
import http.client
import os
import signal
import socket
from pathlib import Path

import numpy as np
from tests.agent_worker.conftest import WorkerProcess, ready_worker, start_worker
from tests.agent_worker.small_release import MODEL_FILE, Bundle, digits, train
from tests.agent_worker.test_worker_process import Images, infer

from lamplighter_agent.ports.worker import (
    Beat,
    Collect,
    Counted,
    Mirror,
    Serve,
    Serving,
    Shadow,
)
from lamplighter_protocol.counts import Counts


async def compared(worker: WorkerProcess, rows: int) -> Counts:
    while (await worker.hear(Beat)).compared < rows:
        pass
    worker.tell(Collect(1))
    return (await worker.hear(Counted)).counts


def lay_out(bundle: Bundle, folder: Path, model: bytes | None = None) -> Path:
    folder.mkdir()
    for name, raw in bundle.files.items():
        (folder / name).write_bytes(raw)
    if model is not None:
        (folder / MODEL_FILE).write_bytes(model)
    (folder / "bundle.json").write_bytes(bundle.manifest_raw)
    return folder


async def test_copies_are_compared_and_an_end_of_the_shadow_is_not_noticed(
    bundle: Bundle, tmp_path: Path, listening: socket.socket, images: Images
) -> None:
    pixels, labels = digits()
    active = lay_out(bundle, tmp_path / "active")
    other = lay_out(bundle, tmp_path / "other", train(pixels, 9 - labels))
    connection = http.client.HTTPConnection("127.0.0.1", listening.getsockname()[1], timeout=10)
    async with start_worker(active, listening) as one, start_worker(other) as two:
        await ready_worker(one)
        one.tell(Serve())
        await one.hear(Serving)
        await ready_worker(two)
        two.tell(Shadow(str(other / "copies.sock")))
        await two.hear(Serving)
        one.tell(Mirror(str(other / "copies.sock")))
        answers = []
        for start in range(0, 60, 3):
            status, answer = await asyncio.to_thread(infer, connection, images[start : start + 3])
            assert status == 200
            answers.append(answer)
        counts = await compared(two, 60)
        assert (counts.compared, counts.rows, counts.missed, counts.errors) == (60, 60, 0, {})
        assert counts.disagreed > 30
        os.kill(two.process.pid, signal.SIGSTOP)  # it hangs
        for _ in range(20):
            status, _ = await asyncio.to_thread(infer, connection, images[:3])
            assert status == 200
        os.kill(two.process.pid, signal.SIGKILL)
        for _ in range(20):
            status, _ = await asyncio.to_thread(infer, connection, images[:3])
            assert status == 200
        one.tell(Mirror(None))
        one.tell(Collect(1))
        mine = (await one.hear(Counted)).counts
        assert (mine.requests, mine.compared, mine.errors) == (60, 0, {})
        connection.close()


async def test_the_same_release_disagrees_nowhere(
    bundle: Bundle, tmp_path: Path, listening: socket.socket, images: Images
) -> None:
    files = lay_out(bundle, tmp_path / "files")
    connection = http.client.HTTPConnection("127.0.0.1", listening.getsockname()[1], timeout=10)
    async with start_worker(files, listening) as one, start_worker(files) as two:
        for worker in (one, two):
            await ready_worker(worker)
        one.tell(Serve())
        await one.hear(Serving)
        one.tell(Mirror(str(files / "copies.sock")))  # before anybody listens there
        two.tell(Shadow(str(files / "copies.sock")))
        await two.hear(Serving)
        status, _ = await asyncio.to_thread(infer, connection, images[:50])
        assert status == 200
        counts = await compared(two, 50)
        assert (counts.compared, counts.disagreed) == (50, 0)
        assert np.array_equal(np.sum(counts.predictions, axis=1), counts.predicted)
        connection.close()
