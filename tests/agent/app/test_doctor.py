import asyncio
import http.server
import json
import os
import ssl
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta, timezone
from email.utils import format_datetime
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st
from tests.agent.cloud import DEVICE, FLEET, Cloud
from tests.agent.tls import TlsBroker

from lamplighter_agent.app.cli import main
from lamplighter_agent.app.config import DataDir
from lamplighter_agent.app.doctor import findings as judged
from lamplighter_agent.app.doctor.examine import examine
from lamplighter_agent.app.doctor.findings import Finding
from lamplighter_agent.app.status import read_status
from lamplighter_agent.store.identity import Enrolment, new_key, save_identity
from lamplighter_agent.trust.store import Store
from lamplighter_protocol.renewal import Validity

NOW = datetime(2026, 11, 23, 12, tzinfo=timezone.utc)
KEY = os.urandom(32)
DEVICE_KEY = new_key()


class Door:
    """A devices' door with a clock of its own."""

    def __init__(self, broker: TlsBroker, folder: Path) -> None:
        self.skew = timedelta(0)
        door = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_HEAD(self) -> None:
                self.send_response(404)
                self.end_headers()

            def date_time_string(self, timestamp: float | None = None) -> str:
                return format_datetime(datetime.now(timezone.utc) + door.skew, usegmt=True)

            def log_message(self, *_: object) -> None:
                pass

        self.server = http.server.HTTPServer(("127.0.0.1", 0), Handler)
        tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        tls.load_cert_chain(*broker.authority.issue("door", folder))
        self.server.socket = tls.wrap_socket(self.server.socket, server_side=True)
        self.url = f"https://127.0.0.1:{self.server.server_address[1]}"


@pytest.fixture
def broker(
    tmp_path: Path, free_port: Callable[[], int], require_program: Callable[..., str]
) -> Iterator[TlsBroker]:
    broker = TlsBroker(require_program("mosquitto"), tmp_path, free_port())
    broker.start()
    yield broker
    broker.stop()


@pytest.fixture
def door(broker: TlsBroker, tmp_path: Path) -> Iterator[Door]:
    door = Door(broker, tmp_path)
    thread = threading.Thread(target=door.server.serve_forever)
    thread.start()
    yield door
    door.server.shutdown()
    thread.join()
    door.server.server_close()


@pytest.fixture
def data(broker: TlsBroker, door: Door, tmp_path: Path) -> DataDir:
    certificate, _ = broker.authority.issue(DEVICE, tmp_path, key=DEVICE_KEY, days=30)
    data = DataDir(tmp_path / "data")
    save_identity(
        data.identity,
        Enrolment(
            device=DEVICE,
            fleet=FLEET,
            url=door.url,
            broker_host="127.0.0.1",
            broker_port=broker.port,
        ),
        key=DEVICE_KEY,
        certificate_pem=certificate.read_text(),
        ca_pem=broker.ca.read_text(),
        root_json=b"{}",
        telemetry_key=KEY,
        agreement=X25519PrivateKey.generate(),
    )
    return data


def trusted(data: DataDir, floor_utc: datetime, expires_utc: datetime) -> None:
    metadata = json.dumps({"signed": {"expires": f"{expires_utc:%Y-%m-%dT%H:%M:%SZ}"}}).encode()
    roles = ("root", "timestamp", "snapshot", "targets")
    files = {f"{role}.json": metadata for role in roles}
    Store(data.trust / "store").save({**files, "floor": json.dumps(floor_utc.isoformat()).encode()})


def by_check(data: DataDir, config: Path | None = None) -> dict[str, Finding]:
    return {finding.check: finding for finding in examine(data, config)}


def test_a_healthy_board_that_does_not_run_yet(data: DataDir) -> None:
    now_utc = datetime.now(timezone.utc)
    trusted(data, now_utc - timedelta(hours=1), now_utc + timedelta(days=3))
    found = by_check(data)
    assert {check for check, item in found.items() if item.verdict != "ok"} == {"agent"}
    assert found.keys() >= {"clock", "space", "storage", "door", "broker", "certificate", "trust"}
    assert "accepts pi-1" in found["broker"].sentence
    assert "as on the server" in found["clock"].sentence
    assert "1 h old" in found["trust"].sentence
    assert not list(data.path.glob("doctor-*"))


def test_each_fault_is_named_with_what_to_do(
    data: DataDir, door: Door, broker: TlsBroker, tmp_path: Path
) -> None:
    door.skew = timedelta(minutes=-5)
    data.identity.joinpath("telemetry.key").chmod(0o640)
    other, _ = broker.authority.issue("other", tmp_path)
    data.identity.joinpath("device.pem").write_text(other.read_text())
    broker.stop()
    config = tmp_path / "agent.toml"
    config.write_text("min_free_disk_mb = 1000000\nmin_free_memory_mb = 1000000\n")
    found = by_check(data, config)
    assert "s ahead of the server's" in found["clock"].sentence
    assert found["clock"].verdict == "warn"
    for check, told in {
        "secrets": "Others may read",
        "certificate": "SERVER_UNTRUSTED: The certificate is for another key",
        "broker": "SERVER_UNREACHABLE",
        "space": "updates wait below 1000000 MB",
        "memory": "updates wait below 1000000 MB",
    }.items():
        assert (found[check].verdict, bool(found[check].remedy)) == ("fail", True), check
        assert told in found[check].sentence
    assert found["trust"].verdict == "warn"
    config.write_text("min_free_disk = 1")
    assert "min_free_disk_mb meant" in by_check(data, config)["config"].sentence


def test_a_server_of_another_authority_is_refused(
    data: DataDir, tmp_path: Path, door: Door
) -> None:
    other = tmp_path / "other"
    other.mkdir()
    stranger = TlsBroker("mosquitto", other, 1)
    data.identity.joinpath("ca.pem").write_bytes(stranger.ca.read_bytes())
    found = by_check(data)
    for check in ("door", "broker", "certificate"):
        assert (found[check].verdict, found[check].sentence[:16]) == ("fail", "SERVER_UNTRUSTED")


@pytest.mark.parametrize("kind", ["missing", "file", "dangling"])
def test_a_data_folder_that_is_none(
    tmp_path: Path, kind: str, capsys: pytest.CaptureFixture[str]
) -> None:
    place = tmp_path / "data"
    if kind == "file":
        place.write_text("no folder")
    elif kind == "dangling":
        place.symlink_to(tmp_path / "nowhere")
    assert main(["doctor", "--json", "--data-dir", str(place)]) == 1
    found = {item["check"]: item for item in json.loads(capsys.readouterr().out)}
    assert found["storage"]["verdict"] == "fail"
    assert found["identity"]["verdict"] == "fail"
    assert found["runtimes"]["verdict"] == "ok"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")
def test_a_data_folder_of_somebody_else(data: DataDir) -> None:
    script = (
        "import os, sys\n"
        "from lamplighter_agent.app import cli\n"
        "from lamplighter_agent.app.doctor import examine\n"
        "os.setuid(65534)\n"
        "sys.exit(cli.main(['doctor', '--data-dir', sys.argv[1]]))"
    )
    data.path.chmod(0o700)
    done = subprocess.run(
        [sys.executable, "-c", script, str(data.path)], capture_output=True, text=True
    )
    assert done.returncode == 1
    assert "fail storage: " in done.stdout
    assert "fail identity: It cannot be looked at: [Errno 13]" in done.stdout
    assert "sudo -u lamplighter-agent" in done.stdout


@pytest.mark.parametrize("name", ["enrolment.json", "device.pem", "ca.pem", "telemetry.key"])
def test_a_damaged_identity_ends_no_check(data: DataDir, name: str) -> None:
    data.identity.joinpath(name).unlink()
    found = by_check(data)
    assert any(item.verdict == "fail" for item in found.values())
    assert found["runtimes"].verdict == "ok"


def start(data: DataDir) -> "subprocess.Popen[bytes]":
    return subprocess.Popen(
        [
            *(sys.executable, "-m", "lamplighter_agent", "run", "--serve-port", "0"),
            *("--data-dir", str(data.path), "--log-level", "error"),
        ]
    )


async def test_a_running_agent_is_asked_and_not_disturbed(
    data: DataDir, broker: TlsBroker, tmp_path: Path
) -> None:
    tls = ssl.create_default_context(cafile=str(broker.ca))
    tls.load_cert_chain(*broker.authority.issue("server", tmp_path))
    async with Cloud(broker.port, DEVICE_KEY.public_key(), KEY, tls) as cloud:
        data.identity.joinpath("root.json").write_bytes(cloud.repository.root_bytes)
        agent = start(data)
        try:
            await cloud.until(lambda report: bool(report.inventory.runtimes))
            while not ((status := read_status(data.status)) and status.connected):
                await asyncio.sleep(0.05)
            found = await asyncio.to_thread(by_check, data)
            assert "The agent is connected" in found["broker"].sentence
            assert f"pid {agent.pid}" in found["agent"].sentence
            assert cloud.presence == [b"online"]
        finally:
            agent.terminate()
            await asyncio.to_thread(agent.wait, 20)


moments = st.datetimes(datetime(2020, 1, 1), datetime(2040, 1, 1)).map(  # noqa: DTZ001
    lambda at: at.replace(tzinfo=timezone.utc)
)


@given(moments, st.none() | moments, st.none() | moments)
def test_a_clock_before_what_was_signed_is_never_in_order(
    clock_utc: datetime, floor_utc: datetime | None, door_utc: datetime | None
) -> None:
    found = judged.judge_clock(clock_utc, floor_utc, door_utc)
    if floor_utc is not None and clock_utc < floor_utc:
        assert found.verdict == "fail"
    assert (found.verdict == "ok") == (not found.remedy)


@given(moments, st.timedeltas(timedelta(hours=1), timedelta(days=400)), moments)
def test_a_certificate_is_in_order_until_it_is_due(
    from_utc: datetime, life: timedelta, now_utc: datetime
) -> None:
    validity = Validity(from_utc=from_utc, until_utc=from_utc + life)
    verdict = judged.judge_validity(validity, now_utc).verdict
    assert verdict == ("warn" if validity.is_due(now_utc) else "ok")


@pytest.mark.parametrize(
    ("found", "verdict"),
    [
        (judged.judge_space(100, None, 64), "ok"),
        (judged.judge_space(100, 10, 64), "fail"),
        (judged.judge_fsync(2.0), "warn"),
        (judged.judge_heat(None, None), "ok"),
        (judged.judge_heat(81, ()), "warn"),
        (judged.judge_heat(50, ("under-voltage",)), "warn"),
        (judged.judge_heat(50, ("throttled",)), "warn"),
        (judged.judge_trust(NOW, NOW, NOW), "warn"),
        (judged.judge_trust(NOW - timedelta(days=3), NOW + timedelta(days=1), NOW), "warn"),
        (judged.judge_trust(NOW, NOW + timedelta(days=1), NOW), "ok"),
    ],
)
def test_verdicts(found: Finding, verdict: str) -> None:
    assert found.verdict == verdict
    assert bool(found.remedy) == (verdict != "ok")


def test_a_secret_belongs_to_its_owner() -> None:
    assert judged.judge_secret("key", 0o600, own=True) is None
    for mode, own in ((0o640, True), (0o604, True), (0o600, False)):
        found = judged.judge_secret("key", mode, own=own)
        assert found is not None
        assert found.verdict == "fail"
