"""Going back on a device: from the verdict to the release before, under load.

The demo's model in the real agent, which is told again and again to run a release that its
probation condemns: there and back are two switches. Clients ask all the time; a request that is not
answered counts as failed. Warm: the release before still waits in memory. Cold: its process was
killed while it waited, without a connection, so that it is started from disk. The time is the
agent's own, from the journalled verdict until the release before accepts. Beside it: a bare Python
process that loads the same file into ONNX Runtime and answers once, the least that a cold start can
cost.
"""

import http.client
import json
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import psutil
import report

sys.path.insert(0, str(Path(__file__).parent.parent))

from tests.faults.storage.device import Agent, Device
from tests.faults.storage.world import Release, World, wait_for

from lamplighter_protocol.bundle import HealthPolicy
from lamplighter_server.training.experiment import RECIPES
from lamplighter_server.training.release import build_release
from lamplighter_server.training.run import run_experiment

WARM_ROLLBACKS, COLD_ROLLBACKS, BARE_STARTS = 50, 20, 10
CLIENTS: Final = 4
#: Condemned by the first sign of life.
BAD: Final = HealthPolicy(probation_s=60.0, memory_budget_mb=1.0)
#: Condemned when not enough was asked in three seconds: time to kill the one that waits.
SLOWLY: Final = HealthPolicy(
    probation_s=60.0,
    probation_max_s=4.0,
    min_requests=2**31,
    output_shift_max=1.0,
    latency_p99_budget_ms=60_000.0,
)
BARE: Final = """
import sys, numpy, onnxruntime
session = onnxruntime.InferenceSession(sys.argv[1], providers=["CPUExecutionProvider"])
session.run(None, {"image": numpy.zeros((1, 64), numpy.float32)})
"""


class Load:
    """Clients that ask on connections that they keep, as long as the server keeps them."""

    def __init__(self, port: int, model: str) -> None:
        self._port, self._path = port, f"/v2/models/{model}/infer"
        tensor = {"name": "image", "shape": [1, 64], "datatype": "FP32", "data": [0.0] * 64}
        self._body = json.dumps({"inputs": [tensor]})
        self._stopped = threading.Event()
        self._threads = [threading.Thread(target=self._ask) for _ in range(CLIENTS)]
        self.answered = self.failed = 0
        self._lock = threading.Lock()

    def __enter__(self) -> "Load":  # noqa: PYI034
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopped.set()
        for thread in self._threads:
            thread.join()

    def _ask(self) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=10)
        while not self._stopped.wait(0.002):
            try:
                connection.request("POST", self._path, self._body)
                reply = connection.getresponse()
                reply.read()
                well = reply.status == 200
            except (OSError, http.client.HTTPException) as error:
                report.progress(f"a request failed: {error!r}")
                connection.close()
                well = False
            with self._lock:
                self.answered += well
                self.failed += not well
        connection.close()


class Switcher:
    """Lets the device go to a release and back."""

    def __init__(self, device: Device, agent: Agent) -> None:
        self._device, self._agent = device, agent
        self._counter = 1

    def there_and_back(self, release: int, *, cold: bool) -> float:
        """Milliseconds from the verdict until the release before serves."""
        self._counter += 1
        self._device.world.assign(release, self._counter)
        if cold:
            self._until("probation")
            new, old = self._worker(release), self._worker(1)
            wait_for("the switch", lambda: is_asked(new) and not is_asked(old))
            old.kill()
            attempt = self._device.attempt
            assert attempt is not None
            assert attempt.state == "probation", f"{attempt.failure} came before the kill"
        self._until("rolled-back")
        attempt = self._device.attempt
        assert attempt is not None
        return 1000 * attempt.timings_s["rollback"]

    def _worker(self, release: int) -> psutil.Process:
        folder = f"{self._device.world.releases[release].manifest.model}-{release}-"
        return next(
            child
            for child in psutil.Process(self._agent.pid).children()
            if any(folder in word for word in child.cmdline())
        )

    def _until(self, state: str) -> None:
        def there() -> bool:
            attempt = self._device.attempt
            return (
                attempt is not None
                and attempt.generation.counter == self._counter
                and attempt.state == state
            )

        wait_for(state, there)


def is_asked(process: psutil.Process) -> bool:
    """Whether a client is connected."""
    return any(one.status == psutil.CONN_ESTABLISHED for one in process.net_connections())


def quantile_99(values_ms: Sequence[float]) -> float:
    """The 99th percentile, between the two nearest values."""
    return round(statistics.quantiles(values_ms, n=100, method="inclusive")[-1], 1)


def bare_start_ms(model: Path) -> float:
    """A process of its own that loads a model and answers once."""
    started_mono = time.perf_counter()
    subprocess.run([sys.executable, "-c", BARE, str(model)], check=True)
    return 1000 * (time.perf_counter() - started_mono)


def main() -> None:
    """Go there and back, warm and cold, and publish the figures."""
    run = run_experiment(RECIPES["baseline"])
    good = HealthPolicy(probation_s=0.1)
    bundles = [build_release(run, n, h).bundle for n, h in ((1, good), (2, BAD), (3, SLOWLY))]
    with (
        tempfile.TemporaryDirectory() as name,
        World(Path(name), report.program("mosquitto")) as world,
    ):
        folder = Path(name)
        for bundle in bundles:
            world.publish(Release(bundle.manifest, bundle.manifest_raw, bundle.files, ()))
        model = folder / "model.onnx"
        model.write_bytes(bundles[0].files[bundles[0].manifest.variants[0].file])
        data = folder / "data"
        data.mkdir()
        world.enrol(data / "identity")
        world.assign(1, counter=1)
        device = Device(world, data, folder / "agent.log", {})
        with device.running() as agent:
            wait_for("the first release", lambda: device.committed == 1)
            switcher = Switcher(device, agent)
            with Load(world.serve_port, bundles[0].manifest.model) as load:
                warm_ms = [switcher.there_and_back(2, cold=False) for _ in range(WARM_ROLLBACKS)]
                report.progress(f"warm: {warm_ms}")
                cold_ms = [switcher.there_and_back(3, cold=True) for _ in range(COLD_ROLLBACKS)]
                report.progress(f"cold: {cold_ms}")
        bare_ms = [bare_start_ms(model) for _ in range(BARE_STARTS)]
    report.publish(
        "rollback",
        figures={
            "warm_ms_p99": quantile_99(warm_ms),
            "cold_ms_p99": quantile_99(cold_ms),
            "warm_ms_median": round(statistics.median(warm_ms), 1),
            "cold_ms_median": round(statistics.median(cold_ms), 1),
            "switches": 2 * (len(warm_ms) + len(cold_ms)),
            "requests": load.answered + load.failed,
            "failed_requests": load.failed,
        },
        peers={"bare process": {"start_ms_median": round(statistics.median(bare_ms), 1)}},
        packages=("lamplighter-agent", "onnxruntime"),
    )


if __name__ == "__main__":
    main()
