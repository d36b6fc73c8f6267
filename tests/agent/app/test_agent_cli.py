import asyncio
import json
import os
import ssl
import subprocess
import sys
import urllib.request
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import psutil
import pytest
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from tests.agent.cloud import DEVICE, FLEET, Cloud
from tests.agent.real_bundle import real_bundle
from tests.agent.tls import TlsBroker

from lamplighter_agent.app.cli import main
from lamplighter_agent.app.status import Status, read_status
from lamplighter_agent.store.identity import Enrolment, new_key, save_identity
from lamplighter_protocol.reported import Reported

KEY = os.urandom(32)
DEVICE_KEY = new_key()


@pytest.fixture
def broker(
    tmp_path: Path, free_port: Callable[[], int], require_program: Callable[..., str]
) -> Iterator[TlsBroker]:
    broker = TlsBroker(require_program("mosquitto"), tmp_path, free_port())
    broker.start()
    yield broker
    broker.stop()


@pytest.fixture(name="cloud")
async def _cloud(broker: TlsBroker, tmp_path: Path) -> AsyncIterator[Cloud]:
    certificate, key = broker.authority.issue("server", tmp_path)
    tls = ssl.create_default_context(cafile=str(broker.ca))
    tls.load_cert_chain(certificate, key)
    async with Cloud(broker.port, DEVICE_KEY.public_key(), KEY, tls) as cloud:
        yield cloud


@pytest.fixture
def data(broker: TlsBroker, cloud: Cloud, tmp_path: Path) -> Path:
    certificate, _ = broker.authority.issue(DEVICE, tmp_path, key=DEVICE_KEY)
    save_identity(
        tmp_path / "data" / "identity",
        Enrolment(
            device=DEVICE, fleet=FLEET, url="", broker_host="127.0.0.1", broker_port=broker.port
        ),
        key=DEVICE_KEY,
        certificate_pem=certificate.read_text(),
        ca_pem=broker.ca.read_text(),
        root_json=cloud.repository.root_bytes,
        telemetry_key=KEY,
        agreement=X25519PrivateKey.generate(),
    )
    return tmp_path / "data"


def start(data: Path) -> "subprocess.Popen[bytes]":
    return subprocess.Popen(
        [
            str(Path(sys.executable).with_name("lamplighter-agent")),
            *("run", "--data-dir", str(data), "--serve-port", "0", "--log-level", "warning"),
        ]
    )


def committed(report: Reported) -> bool:
    return any(model.active is not None and model.active.committed for model in report.models)


def status_of(data: Path) -> Status:
    status = read_status(data / "status.json")
    assert status is not None
    return status


def infer(url: str) -> object:
    request = {
        "inputs": [{"name": "image", "datatype": "FP32", "shape": [1, 16], "data": [15.0] * 16}]
    }
    asked = urllib.request.Request(  # noqa: S310 - our own loopback address
        f"{url}/v2/models/digits/infer",
        json.dumps(request).encode(),
        {"Content-Type": "application/json"},
    )
    with urllib.request.urlopen(asked, timeout=10) as answer:  # noqa: S310
        outputs = json.load(answer)["outputs"]
    return next(output["data"] for output in outputs if output["name"] == "label")


async def gone(pids: list[int]) -> None:
    while any(psutil.pid_exists(pid) for pid in pids):
        await asyncio.sleep(0.05)


async def test_the_whole_agent_with_a_real_worker(
    data: Path, cloud: Cloud, capsys: pytest.CaptureFixture[str]
) -> None:
    agent = start(data)
    try:
        manifest, files = real_bundle(1)
        cloud.assign(1, (cloud.add(manifest, files), manifest))
        await cloud.until(committed, timeout_s=60)
        status = status_of(data)
        url = status.serve["digits"].url
        assert await asyncio.to_thread(infer, url) == [1]
        assert main(["status", "--data-dir", str(data), "--json"]) == 0
        assert json.loads(capsys.readouterr().out)["models"][0]["active"]["release"] == 1
        # Without mercy: the workers must end by themselves.
        workers = [child.pid for child in psutil.Process(agent.pid).children()]
        assert workers
        agent.kill()
        agent.wait()
        await asyncio.wait_for(gone(workers), 15)
        assert main(["status", "--data-dir", str(data)]) == 1
        assert "not running" in capsys.readouterr().out
        agent = start(data)
        while not (ready := status_of(data).serve.get("digits")) or not ready.ready:
            await asyncio.sleep(0.05)
        while status_of(data).pid != agent.pid:
            await asyncio.sleep(0.05)
        while not status_of(data).connected:
            await asyncio.sleep(0.05)
        assert await asyncio.to_thread(infer, status_of(data).serve["digits"].url) == [1]
        workers = [child.pid for child in psutil.Process(agent.pid).children()]
        agent.terminate()
        assert await asyncio.to_thread(agent.wait, 20) == 0
        assert not any(psutil.pid_exists(pid) for pid in workers)
        assert cloud.presence[-1] == b"offline"
    finally:
        if agent.poll() is None:
            agent.kill()
            agent.wait()


def test_commands_without_an_identity_say_what_to_do(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for command in ("run", "status"):
        assert main([command, "--data-dir", str(tmp_path)]) == 1
        assert capsys.readouterr().err.startswith("NOT_ENROLLED: ")
    assert main(["enrol", "lamp1.rubbish", "--data-dir", str(tmp_path)]) == 1
    assert capsys.readouterr().err.startswith("INVITATION_INVALID: ")


def test_usage_errors_leave_with_two() -> None:
    with pytest.raises(SystemExit) as left:
        main(["fly"])
    assert left.value.code == 2


@pytest.mark.parametrize("command", ["enrol", "run", "status"])
def test_help_has_an_example(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main([command, "--help"])
    assert f"example: lamplighter-agent {command}" in capsys.readouterr().out
