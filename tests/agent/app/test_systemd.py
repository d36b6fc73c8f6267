import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from tests.agent.tls import Authority

from lamplighter_agent.app.systemd import SIGNS_PER_WATCHDOG, notify, watchdog_interval_s
from lamplighter_agent.store.identity import Enrolment, new_key, save_identity

UNIT = Path(__file__).parents[3] / "deploy/systemd/lamplighter-agent.service"


@pytest.fixture
def manager(tmp_path: Path) -> Iterator[socket.socket]:
    """What listens behind NOTIFY_SOCKET."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listening:
        listening.bind(str(tmp_path / "notify"))
        listening.settimeout(20)
        yield listening


def heard(manager: socket.socket, wanted: str) -> list[str]:
    """Every line until a wanted one has come."""
    lines: list[str] = []
    while wanted not in lines:
        lines += manager.recv(4096).decode().splitlines()
    return lines


def test_what_is_said_is_heard(manager: socket.socket, monkeypatch: pytest.MonkeyPatch) -> None:
    notify(READY="1")  # nobody listens: nothing happens
    monkeypatch.setenv("NOTIFY_SOCKET", str(manager.getsockname()))
    notify(READY="1", STATUS="connected;\ndigits 3")
    assert manager.recv(4096) == b"READY=1\nSTATUS=connected; digits 3"


def test_an_abstract_socket_and_a_manager_that_is_gone(monkeypatch: pytest.MonkeyPatch) -> None:
    name = f"lamplighter-{os.getpid()}"
    monkeypatch.setenv("NOTIFY_SOCKET", f"@{name}")
    notify(WATCHDOG="1")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(f"\0{name}")
        notify(WATCHDOG="1")
        assert manager.recv(100) == b"WATCHDOG=1"


def test_a_manager_that_does_not_read_holds_nobody_up(
    manager: socket.socket, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NOTIFY_SOCKET", str(manager.getsockname()))
    started_mono = time.monotonic()
    for _ in range(2000):
        notify(STATUS="x" * 1000)
    assert time.monotonic() - started_mono < 10


@pytest.mark.parametrize(
    ("usec", "pid", "seconds"),
    [
        ("30000000", str(os.getpid()), 30 / SIGNS_PER_WATCHDOG),
        ("30000000", None, 30 / SIGNS_PER_WATCHDOG),
        ("30000000", "1", None),
        ("0", None, None),
        ("soon", None, None),
        (None, None, None),
    ],
)
def test_how_often_it_wants_a_sign_of_life(
    monkeypatch: pytest.MonkeyPatch, usec: str | None, pid: str | None, seconds: float | None
) -> None:
    for name, value in (("WATCHDOG_USEC", usec), ("WATCHDOG_PID", pid)):
        if value is None:
            monkeypatch.delenv(name, raising=False)
        else:
            monkeypatch.setenv(name, value)
    assert watchdog_interval_s() == seconds


def test_an_agent_as_systemd_runs_it(
    manager: socket.socket, tmp_path: Path, free_port: Callable[[], int]
) -> None:
    """Without a broker: ready, alive, stopped in order."""
    authority, key = Authority(), new_key()
    certificate, _ = authority.issue("pi-1", tmp_path, key=key)
    save_identity(
        tmp_path / "data/identity",
        Enrolment(
            device="pi-1",
            fleet="main",
            url="https://127.0.0.1:1",
            broker_host="127.0.0.1",
            broker_port=free_port(),
        ),
        key=key,
        certificate_pem=certificate.read_text(),
        ca_pem=authority.save(tmp_path).read_text(),
        root_json=b"{}",
        telemetry_key=os.urandom(32),
        agreement=X25519PrivateKey.generate(),
    )
    agent = subprocess.Popen(
        [
            *(sys.executable, "-m", "lamplighter_agent", "run", "--serve-port", "0"),
            *("--data-dir", str(tmp_path / "data"), "--log-level", "error"),
        ],
        env={
            **os.environ,
            "NOTIFY_SOCKET": str(manager.getsockname()),
            "WATCHDOG_USEC": "300000",
        },
    )
    try:
        heard(manager, "READY=1")
        heard(manager, "STATUS=not connected; no model")
        heard(manager, "WATCHDOG=1")
        heard(manager, "WATCHDOG=1")
        agent.send_signal(signal.SIGTERM)
        heard(manager, "STOPPING=1")
        assert agent.wait(20) == 0
    finally:
        if agent.poll() is None:
            agent.kill()
            agent.wait()


def test_the_unit_is_hardened(require_program: Callable[..., str]) -> None:
    """systemd's own judgement, 0 (best) to 10; anything that is loosened shows here."""
    judged = subprocess.run(
        [
            *(require_program("systemd-analyze"), "security", "--offline=true"),
            *("--threshold=15", "--no-pager", str(UNIT)),
        ],
        capture_output=True,
        text=True,
    )
    assert judged.returncode == 0, judged.stdout[-300:] + judged.stderr
