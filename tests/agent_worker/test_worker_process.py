import asyncio
import http.client
import json
import signal
import socket
import threading
from pathlib import Path

import numpy as np
import numpy.typing as npt
from tests.agent_worker.conftest import ready_worker, start_worker

from lamplighter_agent.ports.worker import (
    Beat,
    Collect,
    Counted,
    Drain,
    Drained,
    Loaded,
    SelfTest,
    SelfTested,
    Serve,
    Serving,
    Stop,
)
from lamplighter_converters.pack import Bundle

Images = npt.NDArray[np.float32]


def request_body(images: Images) -> str:
    tensor = {"name": "image", "shape": list(images.shape), "datatype": "FP32"}
    return json.dumps({"inputs": [{**tensor, "data": images.ravel().tolist()}]})


def infer(connection: http.client.HTTPConnection, images: Images) -> tuple[int, dict[str, object]]:
    connection.request("POST", "/v2/models/meter-digits/infer", request_body(images))
    response = connection.getresponse()
    return response.status, json.loads(response.read())


async def test_a_release_is_loaded_tested_served_and_counted(
    files: Path, listening: socket.socket, images: Images
) -> None:
    async with start_worker(files, listening) as worker:
        await ready_worker(worker)
        worker.tell(SelfTest())
        assert (await worker.hear(SelfTested)).failure is None
        worker.tell(Serve())
        await worker.hear(Serving)
        connection = http.client.HTTPConnection("127.0.0.1", listening.getsockname()[1], timeout=10)
        status, answer = await asyncio.to_thread(infer, connection, images[:7])
        assert status == 200
        assert answer["model_version"] == "1"
        bad, refusal = await asyncio.to_thread(infer, connection, images[:7, :60])
        assert bad == 400
        assert str(refusal["error"]).startswith("REQUEST_INVALID: ")
        connection.close()
        worker.tell(Collect(3))
        counted = await worker.hear(Counted)
        assert (counted.id, counted.counts.rows, sum(counted.counts.latency)) == (3, 7, 1)
        assert sum(counted.counts.predicted) == 7
        worker.tell(Collect(4))
        assert (await worker.hear(Counted)).counts.rows == 0
        beat = await worker.hear(Beat)
        while not beat.requests:
            beat = await worker.hear(Beat)
        assert (beat.requests, sum(beat.predicted), beat.errors) == (1, 7, {})
        assert beat.rss_mb > 1
        worker.tell(Stop())
        assert await asyncio.wait_for(worker.process.wait(), 10) == 0


async def test_two_workers_exchange_a_socket_without_dropping_a_request(
    files: Path, listening: socket.socket, images: Images
) -> None:
    stop = threading.Event()
    failures: list[str] = []
    answered = [0, 0, 0]

    def hammer(number: int) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", listening.getsockname()[1], timeout=10)
        while not stop.is_set():
            try:
                status, _ = infer(connection, images[:1])
                answered[number] += 1
                if status != 200:
                    failures.append(str(status))
            except (OSError, http.client.HTTPException) as error:
                failures.append(repr(error))
                connection.close()
        connection.close()

    async with start_worker(files, listening) as one, start_worker(files, listening) as two:
        for worker in (one, two):
            await ready_worker(worker)
        one.tell(Serve())
        await one.hear(Serving)
        clients = [threading.Thread(target=hammer, args=(n,)) for n in range(len(answered))]
        for client in clients:
            client.start()
        old, new = one, two
        for _ in range(30):
            seen = sum(answered)
            new.tell(Serve())
            await new.hear(Serving)
            old.tell(Drain())
            await old.hear(Drained)
            while sum(answered) < seen + 5:
                await asyncio.sleep(0.01)
            old, new = new, old
        stop.set()
        for client in clients:
            await asyncio.to_thread(client.join)
    assert failures == []
    assert min(answered) > 30


async def test_a_closed_pipe_ends_the_worker(files: Path) -> None:
    async with start_worker(files) as worker:
        await ready_worker(worker)
        assert worker.process.stdin is not None
        worker.process.stdin.close()
        assert await asyncio.wait_for(worker.process.wait(), 10) == 0


async def test_lines_that_are_no_commands_are_passed_over(files: Path) -> None:
    async with start_worker(files) as worker:
        await ready_worker(worker)
        for line in (b"{", b'{"type":"dance"}', b"\xff\xfe", b"[" * 1000):
            worker.tell_raw(line)
        worker.tell(SelfTest())
        assert (await worker.hear(SelfTested)).failure is None


async def test_garbage_in_place_of_the_model_is_refused_with_a_code(files: Path) -> None:
    (files / "onnx-int8.onnx").write_bytes(b"\x08\x08garbage" * 100)
    async with start_worker(files) as worker:
        loaded = await worker.hear(Loaded)
        assert loaded.failure is not None
        assert loaded.failure.code == "MODEL_LOAD_FAILED"
        assert await asyncio.wait_for(worker.process.wait(), 10) == 1


async def test_a_model_that_answers_otherwise_fails_its_golden_inputs(
    files: Path, bundle: Bundle
) -> None:
    from lamplighter_server.training.experiment import RECIPES
    from lamplighter_server.training.release import build_release
    from lamplighter_server.training.run import run_experiment

    other = build_release(run_experiment(RECIPES["inverted"]), 1).bundle
    (files / "onnx-int8.onnx").write_bytes(other.files["onnx-int8.onnx"])
    async with start_worker(files) as worker:
        await ready_worker(worker)
        worker.tell(SelfTest())
        failure = (await worker.hear(SelfTested)).failure
    assert failure is not None
    assert failure.code == "GOLDEN_MISMATCH"


async def test_golden_inputs_that_cannot_be_read_are_no_pass(files: Path) -> None:
    (files / "golden.npz").write_bytes(b"PK\x03\x04 torn")
    async with start_worker(files) as worker:
        await ready_worker(worker)
        worker.tell(SelfTest())
        failure = (await worker.hear(SelfTested)).failure
    assert failure is not None
    assert failure.code == "GOLDEN_MISMATCH"


async def test_a_stopped_process_stops_beating(files: Path) -> None:
    async with start_worker(files) as worker:
        await ready_worker(worker)
        await worker.hear(Beat)
        worker.process.send_signal(signal.SIGSTOP)
        assert worker.process.stdout is not None
        try:
            while True:
                await asyncio.wait_for(worker.process.stdout.readline(), 1.5)
        except asyncio.TimeoutError:
            pass
        worker.process.send_signal(signal.SIGCONT)
        await worker.hear(Beat)


async def test_nothing_phones_home(files: Path, tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.mkdir()
    async with start_worker(files, home=home) as worker:
        await ready_worker(worker)
        worker.tell(SelfTest())
        await worker.hear(SelfTested)
    assert list(home.rglob("*")) == []
