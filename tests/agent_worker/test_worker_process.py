import asyncio
import http.client
import json
import os
import select
import signal
import socket
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path

import numpy as np
import numpy.typing as npt
import psutil
import pytest
from tests.agent_worker.conftest import ready_worker, start_worker
from tests.agent_worker.small_release import MODEL_FILE, VARIANT, digits, train

from lamplighter_agent.app.config import WORKER
from lamplighter_agent.app.limits import Limits
from lamplighter_agent.app.worker import STOP_GRACE_S
from lamplighter_agent.app.workers import STOP_TIMEOUT_S
from lamplighter_agent.app.workers import WorkerProcess as Started
from lamplighter_agent.ports.worker import (
    BEAT_INTERVAL_S,
    MAX_LINE_BYTES,
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
from lamplighter_protocol.errors import LamplighterError

Images = npt.NDArray[np.float32]
GET_LIVE = b"GET /v2/health/live HTTP/1.1\r\nHost: x\r\n\r\n"


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


def libraries(pid: int) -> str:
    return Path(f"/proc/{pid}/maps").read_text()


@pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")
async def test_a_worker_does_without_openssl(files: Path) -> None:
    async with start_worker(files) as worker:
        await ready_worker(worker)
        mapped = libraries(worker.process.pid)
    assert "onnxruntime" in mapped
    assert not [name for name in ("libssl", "libcrypto", "_ssl.", "_hashlib.") if name in mapped]


class Connection(http.client.HTTPConnection):
    """A client of any listening socket."""

    def __init__(self, listening: socket.socket) -> None:
        super().__init__("localhost", timeout=10)
        self._listening = listening

    def connect(self) -> None:
        self.sock = socket.socket(self._listening.family)
        self.sock.settimeout(10)
        self.sock.connect(self._listening.getsockname())


@pytest.mark.parametrize("kind", ["listening", "listening_unix"])
async def test_two_workers_exchange_a_socket_without_dropping_a_request(
    files: Path, request: pytest.FixtureRequest, kind: str, images: Images
) -> None:
    listening = request.getfixturevalue(kind)
    stop = threading.Event()
    failures: list[str] = []
    answered = [0, 0, 0, 0]

    def hammer(number: int) -> None:
        """Half of the clients keep their connection, half make a new one for each request."""
        connection = Connection(listening)
        while not stop.is_set():
            try:
                status, _ = infer(connection, images[:1])
                answered[number] += 1
                if number % 2:
                    connection.close()
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
        for _ in range(50):
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
    assert min(answered) > 50


async def test_a_closed_pipe_ends_the_worker(files: Path) -> None:
    async with start_worker(files) as worker:
        await ready_worker(worker)
        assert worker.process.stdin is not None
        worker.process.stdin.close()
        assert await asyncio.wait_for(worker.process.wait(), 10) == 0


async def test_lines_that_are_no_commands_are_passed_over(files: Path) -> None:
    async with start_worker(files) as worker:
        await ready_worker(worker)
        for line in (
            *(b"{", b'{"type":"dance"}', b"\xff\xfe", b"[" * 1000, b""),
            b'{"type":"serve","more":' + b"[" * 100_000,
            b"x" * (MAX_LINE_BYTES + 1000),
        ):
            worker.tell_raw(line)
        worker.tell(SelfTest())
        assert (await worker.hear(SelfTested)).failure is None


@pytest.mark.parametrize(
    "commands",
    [
        [Serve()],
        [Drain()],
        [Serve(), Serve()],
        [Serve(), Drain()],
        [Drain(), Serve()],
        [Serve(), Drain(), Drain()],
        [Serve(), Drain(), Serve()],
        [Serve(), Drain(), Serve(), Drain()],
    ],
)
async def test_the_last_command_holds_however_quickly_they_come(
    files: Path, listening: socket.socket, commands: list[Serve | Drain]
) -> None:
    async with start_worker(files, listening) as worker:
        await ready_worker(worker)
        for command in commands:
            worker.tell(command)
        for _ in range(commands.count(Serve())):
            await worker.hear(Serving)
        if commands[-1] == Drain():
            await worker.hear(Drained)  # what connects before that is still answered
        with socket.create_connection(listening.getsockname(), timeout=10) as client:
            if commands[-1] == Drain():
                client.sendall(GET_LIVE)
                readable, _, _ = await asyncio.to_thread(select.select, [client], [], [], 0.2)
                assert not readable
                worker.tell(Serve())
                await worker.hear(Serving)
            else:
                client.sendall(GET_LIVE)
            answer = await asyncio.to_thread(client.recv, 4096)
            assert b" 200 " in answer
            assert b"connection: close" not in answer


@pytest.mark.parametrize("commands", [[Stop()], [Drain(), Collect(1), Stop()]])
async def test_a_stop_answers_each_connection_once_more(
    files: Path, listening: socket.socket, images: Images, commands: list[Drain | Collect | Stop]
) -> None:
    """The supervisor may stop a worker right after it drained it, as in a rollback."""
    async with start_worker(files, listening) as worker:
        await ready_worker(worker)
        worker.tell(Serve())
        await worker.hear(Serving)
        connection = http.client.HTTPConnection("127.0.0.1", listening.getsockname()[1], timeout=10)
        await asyncio.to_thread(infer, connection, images[:1])
        for command in commands:
            worker.tell(command)
        await asyncio.sleep(0.2)  # as a client that is busy elsewhere
        assert (await asyncio.to_thread(infer, connection, images[:1]))[0] == 200
        assert connection.sock is None  # the answer said so
        assert await asyncio.wait_for(worker.process.wait(), 2) == 0


async def test_idle_clients_do_not_hold_a_worker_beyond_the_supervisors_patience(
    files: Path, listening: socket.socket
) -> None:
    async with start_worker(files, listening) as worker:
        await ready_worker(worker)
        worker.tell(Serve())
        await worker.hear(Serving)
        with socket.create_connection(listening.getsockname(), timeout=10) as client:
            client.sendall(GET_LIVE)
            await asyncio.to_thread(client.recv, 4096)
            worker.tell(Stop())
            assert await asyncio.wait_for(worker.process.wait(), STOP_TIMEOUT_S) == 0


async def test_an_orphan_leaves_the_socket_at_once(files: Path, listening: socket.socket) -> None:
    async with start_worker(files, listening) as worker:
        await ready_worker(worker)
        worker.tell(Serve())
        await worker.hear(Serving)
        with socket.create_connection(listening.getsockname(), timeout=10) as client:
            client.sendall(GET_LIVE)
            await asyncio.to_thread(client.recv, 4096)
            assert worker.process.stdin is not None
            worker.process.stdin.close()
            assert await asyncio.wait_for(worker.process.wait(), STOP_GRACE_S - 1) == 0


async def test_a_worker_that_dies_leaves_the_socket_to_the_next(
    files: Path, listening: socket.socket, images: Images
) -> None:
    async with start_worker(files, listening) as one, start_worker(files, listening) as two:
        for worker in (one, two):
            await ready_worker(worker)
            worker.tell(Serve())
            await worker.hear(Serving)
        one.process.send_signal(signal.SIGSEGV)
        assert await asyncio.wait_for(one.process.wait(), 10) == -signal.SIGSEGV
        for _ in range(5):
            port = listening.getsockname()[1]
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
            assert (await asyncio.to_thread(infer, connection, images[:1]))[0] == 200
            connection.close()


async def test_a_supervisor_that_does_not_read_does_not_stop_the_answers(
    files: Path, listening: socket.socket, images: Images
) -> None:
    ours, theirs = os.pipe()
    reader = os.fdopen(ours, "rb", buffering=0)
    async with start_worker(files, listening, stdout=theirs) as worker:
        worker.tell(Serve())
        heard = b""
        while b'"serving"' not in heard:
            heard += await asyncio.to_thread(reader.read, 4096)
        os.set_blocking(theirs, False)
        with suppress(BlockingIOError):  # the pipe is full
            while True:
                os.write(theirs, b"\n" * 512)
        os.set_blocking(theirs, True)
        connection = http.client.HTTPConnection("127.0.0.1", listening.getsockname()[1], timeout=5)
        end_mono = time.monotonic() + 3 * BEAT_INTERVAL_S
        while time.monotonic() < end_mono:
            assert (await asyncio.to_thread(infer, connection, images[:1]))[0] == 200
        connection.close()
        heard = b""
        while b'"beat"' not in heard:
            heard = await asyncio.to_thread(reader.read, 65536)
        os.close(theirs)
    reader.close()


async def test_garbage_in_place_of_the_model_is_refused_with_a_code(files: Path) -> None:
    (files / MODEL_FILE).write_bytes(b"\x08\x08garbage" * 100)
    async with start_worker(files) as worker:
        loaded = await worker.hear(Loaded)
        assert loaded.failure is not None
        assert loaded.failure.code == "MODEL_LOAD_FAILED"
        assert await asyncio.wait_for(worker.process.wait(), 10) == 1


async def test_a_model_that_answers_otherwise_fails_its_golden_inputs(files: Path) -> None:
    pixels, labels = digits()
    (files / MODEL_FILE).write_bytes(train(pixels, 9 - labels))
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


_PARENT = """
import subprocess, sys
worker = subprocess.Popen(sys.argv[1:], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
worker.stdout.readline()
print(worker.pid, flush=True)
worker.wait()
"""


async def test_a_hung_worker_ends_with_a_killed_supervisor(files: Path) -> None:
    """It cannot see that its pipe is closed; the socket that it holds would stay taken."""
    worker = [
        *(*WORKER, "--variant", VARIANT),
        *("--manifest", str(files / "bundle.json"), "--files", str(files)),
    ]
    parent = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", _PARENT, *worker), stdout=asyncio.subprocess.PIPE
    )
    assert parent.stdout is not None
    pid = int(await asyncio.wait_for(parent.stdout.readline(), 20))
    os.kill(pid, signal.SIGSTOP)
    parent.kill()
    await parent.wait()
    end_mono = time.monotonic() + 5
    while psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE:
        assert time.monotonic() < end_mono
        await asyncio.sleep(0.02)


async def test_a_model_that_never_loads_is_given_up(files: Path) -> None:
    command = [*WORKER, "--variant", VARIANT]
    options = ["--manifest", str(files / "bundle.json"), "--files", str(files)]
    worker = await Started.start([*command, *options], [], 30.0, Limits(512.0))
    os.kill(worker.pid, signal.SIGSTOP)
    with pytest.raises(LamplighterError, match="MODEL_LOAD_FAILED"):
        await worker.loaded(0.2)
    worker.kill()
    await asyncio.wait_for(worker.exited.wait(), 10)
