"""Serving: requests per second, latency, memory and start-up time beside MLServer and KServe.

The same ONNX file, the same request in JSON and the same answer over loopback HTTP. Every server
has one core to itself, the same for all, and one process; the clients have another core. MLServer
runs a custom runtime without its pool of workers, KServe a `kserve.Model`, both with one thread of
ONNX Runtime and without gRPC where that can be turned off: as lean as they go. The agent counts
every request in signed bins, the peers count nothing but requests. The servers take turns, ROUNDS
times, and the medians are compared: `throughput_vs_...` is ours over theirs, the others are theirs
over ours, each the worse of 1 and 8 clients, so that above 1 is always ahead.
"""

import contextlib
import json
import os
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path
from typing import NamedTuple

import load
import msgspec
import psutil
import report
import venvs

sys.path.insert(0, str(Path(__file__).parent.parent))

from tests.agent_worker.small_release import MODEL_FILE, VARIANT, digits, pack, train

from lamplighter_agent.app.config import WORKER
from lamplighter_agent.app.sockets import ModelSockets
from lamplighter_agent.ports.worker import Serve

MLSERVER, KSERVE = "1.7.1", "0.21.0"
#: The peers get the versions that we have ourselves.
RUNTIME = tuple(f"{name}=={metadata.version(name)}" for name in ("onnxruntime", "numpy"))
PEERS = Path(__file__).parent / "peers"
MODEL = "meter-digits"
CLIENTS = (1, 8)
ROUNDS, SECONDS, STARTS = 5, 2.0, 3
START_TIMEOUT_S = 60
CORES = sorted(os.sched_getaffinity(0))


class Server(NamedTuple):
    """A running server."""

    process: psutil.Process
    port: int
    start_s: float


def make_request() -> bytes:
    """One image in JSON, as the Open Inference Protocol has it."""
    image = digits()[0][0].tolist()
    tensor = {"name": "image", "shape": [1, 64], "datatype": "FP32", "data": image}
    body = json.dumps({"id": "1", "inputs": [tensor]}).encode()  # KServe fails without an id
    head = (
        f"POST /v2/models/{MODEL}/infer HTTP/1.1\r\nHost: 127.0.0.1\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


REQUEST = make_request()


@contextlib.contextmanager
def started(
    command: list[str], port: int, folder: Path, pass_fds: tuple[int, ...] = (), say: bytes = b""
) -> Iterator[Server]:
    """Start a server on its core and wait until it answers a request."""
    started_mono = time.perf_counter()
    with (folder / "log").open("ab") as log:
        process = psutil.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=log,
            stderr=log,
            cwd=folder,
            pass_fds=pass_fds,
            preexec_fn=lambda: os.sched_setaffinity(0, {CORES[0]}),
        )
    try:
        process.stdin.write(say)
        process.stdin.flush()
        while not answers(port):
            if process.poll() is not None or time.perf_counter() - started_mono > START_TIMEOUT_S:
                raise RuntimeError((folder / "log").read_text()[-2000:])
            time.sleep(0.005)
        yield Server(process, port, time.perf_counter() - started_mono)
    finally:
        process.terminate()
        process.wait()


def answers(port: int) -> bool:
    """Whether the server answers the request."""
    try:
        load.ask(port, REQUEST)
    except (OSError, RuntimeError):  # not listening yet, or not ready
        return False
    return True


@contextlib.contextmanager
def lamplighter(folder: Path) -> Iterator[Server]:
    """A worker as the supervisor starts it."""
    sockets = ModelSockets(MODEL, folder, 0)
    port = int(sockets.url.rpartition(":")[2])
    listen = [word for fd in sockets.fds for word in ("--listen-fd", str(fd))]
    options = ["--manifest", "bundle.json", "--variant", VARIANT, "--files", ".", *listen]
    serve = msgspec.json.encode(Serve()) + b"\n"
    with started([*WORKER, *options], port, folder, tuple(sockets.fds), serve) as server:
        yield server
    sockets.close()


@contextlib.contextmanager
def mlserver(folder: Path) -> Iterator[Server]:
    """MLServer with a custom runtime, in one process."""
    programs = venvs.install("mlserver", f"mlserver=={MLSERVER}", *RUNTIME)
    ports = [free_port() for _ in range(3)]
    settings = {
        "host": "127.0.0.1",
        "debug": False,
        "parallel_workers": 0,
        "http_port": ports[0],
        "grpc_port": ports[1],
        "metrics_port": ports[2],
    }
    model = {
        "name": MODEL,
        "implementation": "mlserver_onnx.OnnxModel",
        "parameters": {"uri": str(folder / MODEL_FILE)},
    }
    (folder / "settings.json").write_text(json.dumps(settings))
    (folder / "model-settings.json").write_text(json.dumps(model))
    shutil.copy(PEERS / "mlserver_onnx.py", folder)
    with started([str(programs / "mlserver"), "start", "."], ports[0], folder) as server:
        yield server


@contextlib.contextmanager
def kserve(folder: Path) -> Iterator[Server]:
    """KServe's Python server, in one process."""
    programs = venvs.install("kserve", f"kserve=={KSERVE}", *RUNTIME)
    port = free_port()
    command = [str(programs / "python"), str(PEERS / "kserve_onnx.py"), MODEL, MODEL_FILE]
    with started([*command, "--http_port", str(port)], port, folder) as server:
        yield server


SERVERS = {"lamplighter": lamplighter, "mlserver": mlserver, "kserve": kserve}


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def measure(folder: Path) -> dict[str, dict[str, float]]:
    """Each server's figures: the medians of all rounds."""
    seen: dict[str, dict[str, list[float]]] = {name: defaultdict(list) for name in SERVERS}
    for number in range(STARTS):
        for name, start in SERVERS.items():
            report.progress(f"Start {number + 1} of {STARTS}: {name}")
            with start(folder / name) as server:
                seen[name]["start_s"].append(server.start_s)
    with contextlib.ExitStack() as stack:
        running = {name: stack.enter_context(run(folder / name)) for name, run in SERVERS.items()}
        for number in range(ROUNDS):
            report.progress(f"Round {number + 1} of {ROUNDS}")
            for clients in CLIENTS:
                for name, server in running.items():
                    found = load.drive(server.port, REQUEST, clients=clients, seconds=SECONDS)
                    for key, value in found._asdict().items():
                        seen[name][f"{key}_at_{clients}"].append(value)
        for name, server in running.items():
            tree = [server.process, *server.process.children(recursive=True)]
            seen[name]["rss_mb"] = [sum(item.memory_info().rss for item in tree) / 2**20]
    return {
        name: {key: round(statistics.median(values), 3) for key, values in found.items()}
        for name, found in seen.items()
    }


def compare(ours: dict[str, float], theirs: dict[str, float]) -> dict[str, float]:
    """How many times better we are, by what; the worse of 1 and 8 clients."""

    def times(key: str) -> float:
        return min(
            theirs[f"{key}_at_{clients}"] / ours[f"{key}_at_{clients}"] for clients in CLIENTS
        )

    found = {
        "throughput": min(
            ours[f"requests_per_s_at_{n}"] / theirs[f"requests_per_s_at_{n}"] for n in CLIENTS
        ),
        "p50": times("p50_ms"),
        "p99": times("p99_ms"),
        "rss": theirs["rss_mb"] / ours["rss_mb"],
        "start": theirs["start_s"] / ours["start_s"],
    }
    return {key: round(value, 2) for key, value in found.items()}


def main() -> None:
    """Measure."""
    images, labels = digits()
    bundle = pack(train(images, labels), images)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for server in SERVERS:
            (folder / server).mkdir()
            for file, raw in bundle.files.items():
                (folder / server / file).write_bytes(raw)
        (folder / "lamplighter/bundle.json").write_bytes(bundle.manifest_raw)
        for peer in ("mlserver", "kserve"):  # install before any core is taken
            with SERVERS[peer](folder / peer):
                report.progress(f"{peer} is ready")
        os.sched_setaffinity(0, {CORES[-1]})
        found = measure(folder)
    ours = found.pop("lamplighter")
    report.publish(
        "serving",
        figures={
            **{
                f"{key}_vs_{peer}": value
                for peer, theirs in found.items()
                for key, value in compare(ours, theirs).items()
            },
            "lamplighter": ours,
        },
        peers=found,
        packages=("lamplighter-agent", "onnxruntime", "numpy"),
    )


if __name__ == "__main__":
    main()
