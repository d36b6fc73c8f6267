"""What trust costs: on the device a verdict, process included; on the server an enrolment.

The verdict: one refresh, then one release. The fleet has ten models, each signed by its own team in
a delegated role with twenty releases and a policy. Every round publishes anew, so that nothing is
found verified already. There is no peer that does the same; the budget is 150 ms, hashing of blobs
not counted. One process waits for the other, so it is one core's time; the share of the processor
tells a busy machine from a slow one. Enrolments: see enrolment.py; 50 a second are promised.
"""

import os
import statistics
import subprocess
import sys
import tempfile
import time
from datetime import datetime, timedelta, timezone
from pathlib import Path

import enrolment
import msgspec
import report

sys.path.insert(0, str(Path(__file__).parent.parent))

from tests.agent.tuf_repository import Repository
from tests.protocol.conftest import make_manifest

from lamplighter_agent.trust import child
from lamplighter_protocol.assignment import AssignedModel
from lamplighter_protocol.blobs import describe
from lamplighter_protocol.bundle import encode_manifest
from lamplighter_protocol.trust import TrustView, agree_on_release

MODELS, RELEASES, ROUNDS = 10, 20, 15


def make_repository(manifest: bytes) -> Repository:
    """A fleet whose teams publish their own models; `digits` is the one that is judged."""
    repository = Repository()
    for model in ("digits", *(f"model-{number}" for number in range(1, MODELS))):
        role = f"model-{model}"
        repository.delegate(role, f"models/{model}/*", f"models/{model}/*/*")
        repository.set_policy(model, role, minimum_release=1)
        for release in range(1, RELEASES + 1):
            repository.add(model, release, manifest, role=role)
    return repository


def verify_release_ms() -> list[float]:
    """The time of each round from complete metadata in the inbox to the verdict on a manifest."""
    raw = encode_manifest(make_manifest())
    now_utc = datetime.now(timezone.utc)
    assigned = AssignedModel(
        model="digits",
        release=1,
        manifest=describe(raw),
        variant="onnx-fp32",
        not_before_utc=now_utc,
        deadline_utc=now_utc + timedelta(hours=1),
    )
    repository = make_repository(raw)
    taken_ms = []
    # As on a device: modules that a first run has compiled stay compiled.
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder)
        (path / "root.json").write_bytes(repository.root_bytes)
        arguments = [str(path / name) for name in ("store", "inbox", "root.json")]
        for _ in range(ROUNDS):
            repository.publish()
            repository.fill(path / "inbox")
            started_mono = time.perf_counter()
            done = subprocess.run(
                [sys.executable, "-m", child.__name__, *arguments],
                capture_output=True,
                check=True,
                env=environment,
            )
            view = msgspec.json.decode(done.stdout, type=TrustView)
            agree_on_release(raw, assigned, view, running=None, machine="any", now_utc=now_utc)
            taken_ms.append((time.perf_counter() - started_mono) * 1000)
    assert len(view.targets) == MODELS * RELEASES
    return taken_ms


def main() -> None:
    """Measure."""
    report.progress(f"Verifying a release {ROUNDS} times")
    before = os.times()
    verified_ms = verify_release_ms()
    after = os.times()
    cpu_s = sum(after[2:4]) - sum(before[2:4])  # of the child processes
    report.progress(f"Enrolling {enrolment.BOARDS} boards")
    report.publish(
        "trust",
        figures={
            "verify_release_ms": round(statistics.median(verified_ms), 1),
            "verify_release_ms_worst": round(max(verified_ms), 1),
            "verify_release_cpu_ms": round(cpu_s * 1000 / ROUNDS, 1),
            "enrolments_per_s": round(
                statistics.median(enrolment.enrolments_per_s() for _ in range(3)), 1
            ),
        },
        peers={},
        packages=(
            "lamplighter-agent",
            "lamplighter-server",
            "tuf",
            "securesystemslib",
            "cryptography",
        ),
    )


if __name__ == "__main__":
    main()
