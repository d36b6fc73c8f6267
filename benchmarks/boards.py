"""A real agent in its own process, with its defaults, as its disk and its port show it."""

import http.client
import os
import ssl
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Final

import msgspec
import report

sys.path.insert(0, str(Path(__file__).parent.parent))

from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from tests.agent.cloud import DEVICE, FLEET
from tests.agent.tls import TlsBroker

from lamplighter_agent.app.config import DataDir
from lamplighter_agent.app.status import read_status
from lamplighter_agent.store.identity import Enrolment, new_key, save_identity
from lamplighter_agent.store.journal import read_document
from lamplighter_server.demo.stage import free_port

AGENT: Final = (sys.executable, "-m", "lamplighter_agent")
MODEL: Final = "meter-digits"
LOOK_S, TIMEOUT_S = 0.002, 60
#: What the journal says when a step is done, in order.
STEPS: Final = {
    "admitted": "taken_up",
    "fetching": "agreed",
    "verified": "durable",
    "self-testing": "loaded",
    "probation": "tested",
    "committed": "committed",
}


class Board:
    """A running agent, as its disk and its port show it.

    Args:
        data: Its data folder.
    """

    def __init__(self, data: Path) -> None:
        self.data = DataDir(data)

    def follow(self, release: int, started_mono: float) -> dict[str, float]:
        """Seconds until each step, and until the first answer."""
        states, seen_s = list(STEPS), dict[str, float]()
        while not {"committed", "answered"} <= seen_s.keys():
            now_s = time.monotonic() - started_mono
            assert now_s < TIMEOUT_S, f"release {release} went no further than {seen_s}"
            if (state := self._state(release)) is not None:
                assert state in STEPS, f"release {release} is {state}"
                for passed in states[: states.index(state) + 1]:
                    seen_s.setdefault(STEPS[passed], now_s)
            if "tested" in seen_s and self._answering() == str(release):
                seen_s.setdefault("answered", time.monotonic() - started_mono)
            time.sleep(LOOK_S)
        return seen_s

    def _state(self, release: int) -> str | None:
        document = read_document(self.data.journal)
        model = document.models.get(MODEL) if document else None
        attempt = model.attempt if model else None
        return attempt.state if attempt and attempt.assigned.release == release else None

    def _answering(self) -> str | None:
        """The release that answers a request."""
        status = read_status(self.data.status)
        if status is None or MODEL not in status.serve:
            return None
        port = int(status.serve[MODEL].url.rpartition(":")[2])
        image = {"name": "image", "datatype": "FP32", "shape": [1, 64], "data": [0.0] * 64}
        body = msgspec.json.encode({"inputs": [image]})
        with closing(http.client.HTTPConnection("127.0.0.1", port, timeout=10)) as connection:
            connection.request("POST", f"/v2/models/{MODEL}/infer", body)
            answer = msgspec.json.decode(connection.getresponse().read())
        return str(answer["model_version"])


class Fleet:
    """A broker with its certificates, and who a device of it is.

    Args:
        folder: Where the broker's files lie.
    """

    def __init__(self, folder: Path) -> None:
        folder.mkdir()
        self._folder = folder
        self.key, self.seal = new_key(), os.urandom(32)
        self.broker = TlsBroker(report.program("mosquitto"), folder, free_port())

    @property
    def tls(self) -> ssl.SSLContext:
        """How a server connects."""
        context = ssl.create_default_context(cafile=str(self.broker.ca))
        context.load_cert_chain(*self.broker.authority.issue("server", self._folder))
        return context

    @contextmanager
    def broker_up(self) -> Iterator[None]:
        """The broker runs meanwhile."""
        self.broker.start()
        try:
            yield
        finally:
            self.broker.stop()

    @contextmanager
    def agent(self, data: Path, root_json: bytes) -> Iterator[Board]:
        """A running agent of this fleet."""
        own, _ = self.broker.authority.issue(DEVICE, self._folder, key=self.key)
        save_identity(
            data / "identity",
            Enrolment(
                device=DEVICE,
                fleet=FLEET,
                url="",
                broker_host="127.0.0.1",
                broker_port=self.broker.port,
            ),
            key=self.key,
            certificate_pem=own.read_text(),
            ca_pem=self.broker.ca.read_text(),
            root_json=root_json,
            telemetry_key=self.seal,
            agreement=X25519PrivateKey.generate(),
        )
        place = ("--data-dir", str(data))
        process = subprocess.Popen(
            [*AGENT, "run", *place, "--serve-port", "0", "--log-level", "error"]
        )
        try:
            yield Board(data)
        finally:
            process.terminate()
            process.wait()
