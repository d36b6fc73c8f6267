"""How many boards a server takes in each second: real keys, TLS, certificates and database.

The server is held to one core. The boards, in another process's place on the other cores, do what
`lamplighter-agent enrol` does on the network: they fetch and compare the authority's certificate,
send a signing request with their invitation, and verify the answer.
"""

import os
import secrets
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import datetime, timezone
from pathlib import Path

from lamplighter_agent.link.enrol import Enrolled, enrol
from lamplighter_agent.observe.inventory import describe_board
from lamplighter_agent.store.offered import Offered, make
from lamplighter_protocol.enrolment import Invitation, decode_invitation
from lamplighter_protocol.errors import LamplighterError
from lamplighter_server.cli.api import Api
from lamplighter_server.demo.stage import free_port
from lamplighter_server.publishing.client import init_keys

BOARDS, AT_ONCE = 400, 8
START_TIMEOUT_S, STOP_TIMEOUT_S = 30, 20


def enrolments_per_s() -> float:
    """Boards taken in per second by a server on one core."""
    cores = sorted(os.sched_getaffinity(0))
    with tempfile.TemporaryDirectory() as folder:
        data, port = Path(folder) / "server", free_port()
        server = subprocess.Popen(
            [
                *(sys.executable, "-m", "lamplighter_server.cli", "up", "--data-dir", str(data)),
                *("--port", str(port), "--device-port", str(free_port())),
                *("--broker-port", str(free_port())),
            ],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            os.sched_setaffinity(server.pid, cores[:1])
            os.sched_setaffinity(0, cores[1:] or cores)
            api = _answering(data / "admin.token", f"http://127.0.0.1:{port}")
            init_keys(api, Path(folder) / "keys", secrets.token_urlsafe(8))
            names = [f"board-{number}" for number in range(BOARDS)]
            path = "/api/v1/devices/invitations"
            words = [api.post(path, {"device": name})["invitation"] for name in names]
            return BOARDS / _enrol_all(words)
        finally:
            os.sched_setaffinity(0, cores)
            server.terminate()
            server.wait(STOP_TIMEOUT_S)


def _answering(token: Path, url: str) -> Api:
    end_mono = time.monotonic() + START_TIMEOUT_S
    while time.monotonic() < end_mono:
        if token.exists():
            api = Api(url, token.read_text().strip())
            with suppress(LamplighterError):  # not up yet
                api.get("/api/v1/devices")
                return api
        time.sleep(0.1)
    raise TimeoutError("the server does not answer")


def _enrol_all(words: list[str]) -> float:
    """The seconds that all boards need, AT_ONCE at a time; their keys are made before."""
    now_utc, inventory = datetime.now(timezone.utc), describe_board({})
    boards = [(decode_invitation(word), make()) for word in words]

    def enrol_one(board: tuple[Invitation, Offered]) -> Enrolled:
        invitation, keys = board
        assert invitation.device is not None
        return enrol(invitation, invitation.device, keys.key, keys.agreement, inventory, now_utc)

    with ThreadPoolExecutor(AT_ONCE) as pool:
        started_mono = time.perf_counter()
        enrolled = list(pool.map(enrol_one, boards))
        took_s = time.perf_counter() - started_mono
    assert len({item.reply.certificate_pem for item in enrolled}) == len(words)
    return took_s
