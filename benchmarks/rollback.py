"""How soon the previous release serves again after a verdict, and what 100 switches cost requests.

The real agent with real workers and the demo's model, over a broker with TLS, while clients ask
without a pause. Every other release has a latency budget that no model keeps, so each round is two
switches: to the new release and, after the verdict, back. Cold: the previous release's warm worker
is killed during probation, once it has answered its last connection, as memory pressure would; so
it has to be started again.

The times are the device's own, from its signed reports: from the verdict until the previous release
answers. There is no peer: update agents restart a service or reboot.
"""

import asyncio
import http.client
import math
import os
import statistics
import sys
import tempfile
import threading
from contextlib import contextmanager, suppress
from pathlib import Path

import msgspec
import report

sys.path.insert(0, str(Path(__file__).parent.parent))

import shutil
import ssl
from collections.abc import Iterator

import psutil
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from tests.agent.cloud import DEVICE, FLEET, Cloud
from tests.agent.tls import TlsBroker

from lamplighter_agent.app.status import Serve, read_status
from lamplighter_agent.store.identity import Enrolment, new_key, save_identity
from lamplighter_protocol.bundle import HealthPolicy
from lamplighter_protocol.reported import Attempt, Reported
from lamplighter_server.demo.stage import free_port
from lamplighter_server.training.experiment import RECIPES
from lamplighter_server.training.release import BuiltRelease, build_release
from lamplighter_server.training.run import run_experiment

MODEL = RECIPES["baseline"].model
WARM_ROUNDS, COLD_ROUNDS, CLIENTS = 50, 15, 2
GOOD = HealthPolicy(probation_s=0.2)
BAD = HealthPolicy(probation_s=5.0, latency_p99_budget_ms=1e-6, latency_min_requests=20)


class Load:
    """Clients that ask on open connections, one request after the other."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._body = msgspec.json.encode(
            {
                "inputs": [
                    {"name": "image", "datatype": "FP32", "shape": [1, 64], "data": [0.0] * 64}
                ]
            }
        )
        self._stop = threading.Event()
        self.answered, self.failed = 0, 0
        self._threads = [threading.Thread(target=self._ask_on) for _ in range(CLIENTS)]

    @contextmanager
    def running(self) -> Iterator[None]:
        """Ask while the block runs."""
        for thread in self._threads:
            thread.start()
        try:
            yield
        finally:
            self._stop.set()
            for thread in self._threads:
                thread.join()

    def _ask_on(self) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=10)
        while not self._stop.is_set():
            try:
                connection.request("POST", f"/v2/models/{MODEL}/infer", self._body)
                answer = connection.getresponse()
                answer.read()
                good = answer.status == 200
            except (OSError, http.client.HTTPException):
                connection.close()
                good = False
            self.answered += good
            self.failed += not good


class Device:
    """One agent process with a broker of its own, and the server's side of both."""

    def __init__(self, folder: Path, cloud: Cloud, built: BuiltRelease) -> None:
        self.data, self._cloud, self._built = folder, cloud, built
        self._release = 0

    async def run_release(self, health: HealthPolicy, phase: str) -> Attempt:
        """Assign the next release and wait until its attempt ends."""
        self._release += 1
        bundle, release = self._built.bundle, self._release
        manifest = msgspec.structs.replace(bundle.manifest, release=release, health=health)
        raw = self._cloud.add(manifest, dict(bundle.files))
        self._cloud.assign(release, (raw, manifest))
        found = await self._cloud.until(lambda item: _ended(item, release) is not None, 60)
        attempt = _ended(found, release)
        assert attempt is not None
        assert attempt.phase == phase, f"release {release} ended as {attempt}"
        return attempt

    @property
    def port(self) -> int:
        """Where the model answers."""
        return int(self._serve.url.rpartition(":")[2])

    @property
    def pid(self) -> int:
        """The worker that answers."""
        assert self._serve.worker_pid is not None
        return self._serve.worker_pid

    @property
    def _serve(self) -> Serve:
        status = read_status(self.data / "status.json")
        assert status is not None
        return status.serve[MODEL]


def _ended(found: Reported, release: int) -> Attempt | None:
    attempt = found.models[0].attempt if found.models else None
    if attempt is None or attempt.release != release:
        return None
    return attempt if attempt.phase in {"committed", "rolled-back", "failed"} else None


async def measure(folder: Path, broker: TlsBroker, built: BuiltRelease) -> dict[str, float]:
    """Switch under load; the figures by name."""
    key, seal = new_key(), os.urandom(32)
    certificate, server_key = broker.authority.issue("server", folder)
    tls = ssl.create_default_context(cafile=str(broker.ca))
    tls.load_cert_chain(certificate, server_key)
    async with Cloud(broker.port, key.public_key(), seal, tls) as cloud:
        own, _ = broker.authority.issue(DEVICE, folder, key=key)
        save_identity(
            folder / "identity",
            Enrolment(
                device=DEVICE, fleet=FLEET, url="", broker_host="127.0.0.1", broker_port=broker.port
            ),
            key=key,
            certificate_pem=own.read_text(),
            ca_pem=broker.ca.read_text(),
            root_json=cloud.repository.root_bytes,
            telemetry_key=seal,
            agreement=X25519PrivateKey.generate(),
        )
        agent = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "lamplighter_agent", "run", "--data-dir", str(folder)),
            *("--serve-port", "0", "--log-level", "error"),
        )
        try:
            device = Device(folder, cloud, built)
            await device.run_release(GOOD, "committed")
            load = Load(device.port)
            with load.running():
                report.progress(f"{2 * WARM_ROUNDS} switches under load")
                warm_s = [
                    (await device.run_release(BAD, "rolled-back")).timings_s["rollback"]
                    for _ in range(WARM_ROUNDS)
                ]
                report.progress(f"{COLD_ROUNDS} times the warm worker is killed before the verdict")
                cold_s = [await _roll_back_cold(device) for _ in range(COLD_ROUNDS)]
            return {
                "warm_ms_p50": 1000 * statistics.median(warm_s),
                "warm_ms_p99": 1000 * _p99(warm_s),
                "cold_ms_p50": 1000 * statistics.median(cold_s),
                "cold_ms_p99": 1000 * _p99(cold_s),
                "switches": 2 * (WARM_ROUNDS + COLD_ROUNDS),
                "answered_requests": load.answered,
                "failed_requests": load.failed,
            }
        finally:
            agent.terminate()
            await agent.wait()


async def _roll_back_cold(device: Device) -> float:
    former = device.pid
    attempt = asyncio.create_task(device.run_release(BAD, "rolled-back"))
    while device.pid == former and not attempt.done():  # noqa: ASYNC110 - another process's file
        await asyncio.sleep(0.005)
    with suppress(psutil.NoSuchProcess):
        worker = psutil.Process(former)
        while any(link.status == psutil.CONN_ESTABLISHED for link in worker.net_connections()):  # noqa: ASYNC110
            await asyncio.sleep(0.005)
        worker.kill()
    return (await attempt).timings_s["rollback"]


def _p99(values: list[float]) -> float:
    return sorted(values)[math.ceil(0.99 * len(values)) - 1]


def main() -> None:
    """Measure and publish."""
    report.progress("Training the demo's model")
    built = build_release(run_experiment(RECIPES["baseline"], report.progress), 1)
    mosquitto = shutil.which("mosquitto", path=f"{os.environ['PATH']}:/usr/sbin:/opt/homebrew/sbin")
    assert mosquitto, "the broker 'mosquitto' is missing"
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        broker = TlsBroker(mosquitto, folder, free_port())
        broker.start()
        try:
            figures = asyncio.run(measure(folder, broker, built))
        finally:
            broker.stop()
    report.publish(
        "rollback",
        figures={name: round(value, 1) for name, value in figures.items()},
        peers={},
        packages=("lamplighter-agent", "onnxruntime"),
    )


if __name__ == "__main__":
    main()
