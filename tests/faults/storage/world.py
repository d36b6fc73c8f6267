"""What a device needs for one update, all of it retained by a real broker: no server is asked.

Release 1 is committed on the device's disk; an assignment names release 2.
"""

import contextlib
import os
import secrets
import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from pathlib import Path
from types import TracebackType
from typing import Final, Literal

import numpy as np
import paho.mqtt.client as paho
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from paho.mqtt.enums import CallbackAPIVersion
from tests.agent.real_bundle import real_bundle
from tests.agent.tls import wait_until_listening
from tests.agent.tuf_repository import Repository

from lamplighter_agent.runtime.load import load
from lamplighter_agent.store.identity import Enrolment, new_key, save_identity
from lamplighter_protocol.assignment import (
    AssignedModel,
    Assignment,
    Generation,
    sign_assignment,
)
from lamplighter_protocol.blobs import describe, split
from lamplighter_protocol.bundle import HealthPolicy, Manifest, encode_manifest
from lamplighter_protocol.topics import Topics

FLEET, DEVICE, MODEL = "main", "pi-1", "digits"
#: Requests are one row of this value, in the middle of what the model was trained on.
FEATURES, ASKED = 16, 8.0
#: Two chunks: the fetch can stop between them.
PADDING: Final = "x" * 66_000
Kind = Literal["good", "bad"]
#: The bad release passes its self-test, serves, and is judged in probation.
HEALTH: Final[Mapping[Kind, HealthPolicy]] = {
    "good": HealthPolicy(probation_s=0.1),
    "bad": HealthPolicy(probation_s=60.0, memory_budget_mb=1.0),
}
_TOPICS: Final = Topics(FLEET)


def ram_disk() -> str | None:
    """Where files cost no disk; None where the system has no such place."""
    place = Path("/dev/shm")  # noqa: S108 - whoever uses it makes a folder of its own
    return str(place) if place.is_dir() else None


def free_port() -> int:
    """A port below those that connections are given: it stays free between two starts."""
    while True:
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", 20_000 + secrets.randbelow(10_000)))
            return int(probe.getsockname()[1])


@dataclass(frozen=True)
class Release:
    """What is published, and what it answers for the row that is asked."""

    manifest: Manifest
    raw: bytes
    files: Mapping[str, bytes]
    answer: Sequence[float]


def make_release(number: int, health: HealthPolicy) -> Release:
    """A small release of its own answers."""
    manifest, files = real_bundle(number, health, note=f"{number}{PADDING}")
    asked = {"image": np.full((1, FEATURES), ASKED, np.float32)}
    answer = load("onnxruntime", files["model.onnx"]).run(asked)["probabilities"]
    return Release(manifest, encode_manifest(manifest), files, answer[0].tolist())


class World:
    """A broker with everything in it, and an identity for the device.

    Args:
        folder: Where the broker's configuration lies.
        mosquitto: The broker's program.
    """

    def __init__(self, folder: Path, mosquitto: str) -> None:
        self.broker_port, self.serve_port = free_port(), free_port()
        config = folder / "mosquitto.conf"
        config.write_text(
            f"listener {self.broker_port} 127.0.0.1\nallow_anonymous true\nuser root\n"
            "max_queued_messages 0\nlog_type error\n"
        )
        self._broker = subprocess.Popen([mosquitto, "-c", str(config)])
        self._repository = Repository()
        self.releases: dict[int, Release] = {}

    def __enter__(self) -> "World":  # noqa: PYI034
        wait_until_listening(self.broker_port)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        self._broker.terminate()
        self._broker.wait()

    def enrol(self, link: Path) -> None:
        """Give the device an identity."""
        self.key = new_key()
        save_identity(
            link,
            Enrolment(
                device=DEVICE,
                fleet=FLEET,
                url="",
                broker_host="127.0.0.1",
                broker_port=self.broker_port,
            ),
            key=self.key,
            certificate_pem="",
            ca_pem="",
            root_json=self._repository.root_bytes,
            telemetry_key=os.urandom(32),
            agreement=X25519PrivateKey.generate(),
        )

    def roll_out(self, number: int, kind: Kind = "good") -> None:
        """Publish a small release, and the assignment that wants it."""
        self.publish(make_release(number, HEALTH[kind]))
        self.assign(number, counter=number)

    def publish(self, release: Release) -> None:
        """Sign a release, and let the broker hold its metadata and chunks."""
        number = release.manifest.release
        self.releases[number] = release
        self._repository.add(release.manifest.model, number, release.raw)
        self._repository.publish()
        retained = {_TOPICS.trust(name): raw for name, raw in self._repository.files.items()} | {
            _TOPICS.trust("index"): self._repository.index()
        }
        for content in (release.raw, *release.files.values()):
            digest = describe(content).sha256
            retained |= {_TOPICS.chunk(digest, n): raw for n, raw in enumerate(split(content))}
        self._retain(retained)

    def assign(self, number: int, counter: int) -> None:
        """Let the device be told to run a published release."""
        release, now = self.releases[number], datetime.now(timezone.utc)
        assigned = AssignedModel(
            model=release.manifest.model,
            release=number,
            manifest=describe(release.raw),
            variant=release.manifest.variants[0].name,
            not_before_utc=now,
            deadline_utc=now + timedelta(days=7),
        )
        assignment = Assignment(
            device=DEVICE,
            fleet=FLEET,
            generation=Generation(1, counter),
            issued_utc=now,
            expires_utc=now + timedelta(days=7),
            window_s=3600,
            models=(assigned,),
        )
        envelope = sign_assignment(assignment, self._repository.director)
        self._retain({_TOPICS.device(DEVICE, "desired"): envelope})

    def _retain(self, retained: Mapping[str, bytes]) -> None:
        client = paho.Client(CallbackAPIVersion.VERSION2, protocol=paho.MQTTv5)
        client.connect("127.0.0.1", self.broker_port)
        client.loop_start()
        sent = [client.publish(topic, raw, qos=1, retain=True) for topic, raw in retained.items()]
        for one in sent:
            one.wait_for_publish(10)
        client.disconnect()
        client.loop_stop()


def copy_state(source: Path, target: Path) -> None:
    """Put a device's folder back to what it was."""
    shutil.rmtree(target, ignore_errors=True)
    sockets = shutil.ignore_patterns("*.sock", "agent.*")  # they cannot be copied
    shutil.copytree(source, target, symlinks=True, ignore=sockets)


def wait_for(what: str, condition: Callable[[], bool], timeout_s: float = 30.0) -> None:
    """Look every few milliseconds.

    Raises:
        TimeoutError: It did not come true.
    """
    end_mono = time.monotonic() + timeout_s
    while not condition():
        if time.monotonic() > end_mono:
            raise TimeoutError(f"waited {timeout_s:.0f} s for {what}")
        time.sleep(0.005)
