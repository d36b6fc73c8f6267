import asyncio
import dataclasses
import fcntl
import json
import os
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import msgspec
import psutil
import pytest
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from tests.agent import fake_worker
from tests.agent.cloud import DEVICE, FLEET, Cloud
from tests.protocol.conftest import make_manifest

from lamplighter_agent.app.config import DataDir, Settings
from lamplighter_agent.app.keeper import MAX_LOSSES
from lamplighter_agent.app.status import Status, read_status
from lamplighter_agent.app.status import describe as describe_status
from lamplighter_agent.app.supervisor import Supervisor
from lamplighter_agent.ports.handover import TAKEN
from lamplighter_agent.store.identity import Enrolment, Identity, new_key, save_identity
from lamplighter_agent.trust.policies import read_policies
from lamplighter_protocol.blobs import describe
from lamplighter_protocol.bundle import HealthPolicy, Manifest
from lamplighter_protocol.counts import Counts
from lamplighter_protocol.reported import ModelReport, Reported, accept_reported
from lamplighter_protocol.telemetry import Window

KEY = os.urandom(32)
DEVICE_KEY = new_key()


def bundle(
    release: int, plan: dict[str, object], **health: float
) -> tuple[Manifest, dict[str, bytes]]:
    files = {
        "model.onnx": json.dumps({"release": release, **plan}).encode() + b" " * 70_000,
        "golden.npz": f"golden {release}".encode(),
    }
    policy = msgspec.structs.replace(HealthPolicy(probation_s=0.3), **health)
    manifest = msgspec.structs.replace(
        make_manifest(release),
        files={name: describe(raw) for name, raw in files.items()},
        health=policy,
    )
    return manifest, files


def settings(data: Path) -> Settings:
    return Settings(
        data=DataDir(data),
        serve_port=0,
        worker_command=(sys.executable, fake_worker.__file__),
        probe_command=(sys.executable, "-c", """print('{"onnxruntime": "1.0"}')"""),
        vitals_interval_s=0.5,
        stall_s=0.3,
        retry_first_s=0.05,
        retry_max_s=0.2,
        trust_grace_s=0.3,
        hang_s=1.0,
        watch_interval_s=0.05,
        conditions_interval_s=0.05,
        not_now_file=str(data / "not-now"),
        reconcile_interval_s=0.2,
    )


class Board:
    """A device in this process, and the server beside it."""

    def __init__(self, data: Path, port: int, repository_root: bytes) -> None:
        self.data = data
        self.identity: Identity = save_identity(
            data / "identity",
            Enrolment(
                device=DEVICE, fleet=FLEET, url="", broker_host="127.0.0.1", broker_port=port
            ),
            key=DEVICE_KEY,
            certificate_pem="",
            ca_pem="",
            root_json=repository_root,
            telemetry_key=KEY,
            agreement=X25519PrivateKey.generate(),
        )

    @asynccontextmanager
    async def running(self, **changed: Any) -> AsyncIterator[Supervisor]:
        chosen = dataclasses.replace(settings(self.data), **changed)
        supervisor = Supervisor(self.identity, chosen, plain=True)
        supervisor_task = asyncio.create_task(supervisor.run())
        try:
            yield supervisor
        finally:
            supervisor.stop()
            await supervisor_task
            alive = [c for c in psutil.Process().children() if c.status() != psutil.STATUS_ZOMBIE]
            assert not [c for c in alive if "fake_worker" in " ".join(c.cmdline())]

    def status(self) -> Status:
        status = read_status(self.data / "status.json")
        assert status is not None
        return status

    async def ask(self) -> int:
        """The release that answers over TCP."""
        url = self.status().serve["digits"].url
        reader, writer = await asyncio.open_connection("127.0.0.1", int(url.rpartition(":")[2]))
        writer.write(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        answer = await reader.read()
        writer.close()
        return int(answer.rpartition(b"\r\n\r\n")[2])


@pytest.fixture(name="cloud")
async def _cloud(mosquitto: int) -> AsyncIterator[Cloud]:
    async with Cloud(mosquitto, DEVICE_KEY.public_key(), KEY) as cloud:
        yield cloud


@pytest.fixture
def board(tmp_path: Path, mosquitto: int, cloud: Cloud) -> Board:
    return Board(tmp_path / "data", mosquitto, cloud.repository.root_bytes)


def model(report: Reported) -> ModelReport | None:
    return next((item for item in report.models if item.model == "digits"), None)


def ended(release: int, phase: str) -> Callable[[Reported], bool]:
    def check(report: Reported) -> bool:
        found = model(report)
        attempt = found.attempt if found else None
        return attempt is not None and (attempt.release, attempt.phase) == (release, phase)

    return check


async def test_an_update_waits_for_the_workload_and_says_so(board: Board, cloud: Cloud) -> None:
    manifest, files = bundle(1, {})
    async with board.running():
        with (board.data / "not-now").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            cloud.assign(1, (cloud.add(manifest, files), manifest))
            report = await cloud.until(lambda report: "digits" in report.waiting)
            assert report.waiting["digits"].code == "WAITS_FOR_WORKLOAD"
            found = model(report)
            assert found is not None
            assert found.attempt is not None
            assert (found.attempt.phase, found.attempt.failure) == ("admitted", None)
            assert "it waits: WAITS_FOR_WORKLOAD: " in describe_status(board.status())
        report = await cloud.until(ended(1, "committed"))
        assert report.waiting == {}


async def test_a_release_is_fetched_served_committed_and_counted(
    board: Board, cloud: Cloud
) -> None:
    manifest, files = bundle(1, {})
    async with board.running():
        cloud.assign(1, (cloud.add(manifest, files), manifest))
        report = await cloud.until(ended(1, "committed"))
        found = model(report)
        assert found is not None
        assert found.active is not None
        assert found.active.committed
        assert found.attempt is not None
        assert {"fetch", "self_test", "probation"} <= found.attempt.timings_s.keys()
        assert report.wants == ()
        assert await board.ask() == 1
        await cloud.until_telemetry(
            lambda told: any(window.counts.rows for window in told["window"].values())
        )
        phases = [event.phase for event in cloud.telemetry["event"].values()]
        assert phases[:2] == [None, "admitted"]
        assert "probation" in phases
    assert cloud.presence[0] == b"online"
    assert not board.status().connected
    kept = accept_reported(
        DataDir(board.data).reported.read_bytes(),
        device=DEVICE,
        fleet=FLEET,
        key=DEVICE_KEY.public_key(),
        last_counter=-1,
    )
    assert kept.counter >= report.counter


async def commit(
    board: Board, cloud: Cloud, release: int, **plan: object
) -> tuple[bytes, Manifest]:
    manifest, files = bundle(release, plan)
    raw = cloud.add(manifest, files)
    cloud.assign(release, (raw, manifest))
    await cloud.until(ended(release, "committed"))
    return raw, manifest


async def test_a_switch_drops_no_request(board: Board, cloud: Cloud) -> None:
    async with board.running():
        await commit(board, cloud, 1)
        answers: list[int] = []

        async def ask_on() -> None:
            while answers[-10:] != [2] * 10:
                answers.append(await board.ask())

        asking = asyncio.create_task(ask_on())
        await commit(board, cloud, 2)
        await asking
        assert (answers[0], set(answers)) == (1, {1, 2}), "for a moment both may answer"
        report = await cloud.until(lambda report: True)
        found = model(report)
        assert found is not None
        assert found.previous == 1


@pytest.mark.parametrize(
    ("plan", "health", "code", "phase"),
    [
        ({"load": "MODEL_LOAD_FAILED"}, {}, "MODEL_LOAD_FAILED", "failed"),
        ({"self_test": "GOLDEN_MISMATCH"}, {}, "GOLDEN_MISMATCH", "failed"),
        ({"crash_on_serve": True}, {"max_crashes": 1}, "WORKER_CRASHED", "rolled-back"),
        ({"hang": True}, {"max_crashes": 0}, "WORKER_CRASHED", "rolled-back"),
        ({"rss_mb": 900.0}, {}, "MEMORY_OVER_BUDGET", "rolled-back"),
        ({"errors": {"BOOM": 20}}, {}, "ERRORS_OVER_BUDGET", "rolled-back"),
        ({}, {"min_requests": 9, "probation_max_s": 0.5}, "PROBATION_TIMEOUT", "rolled-back"),
    ],
)
async def test_a_bad_release_ends_and_the_old_one_answers(
    board: Board,
    cloud: Cloud,
    plan: dict[str, object],
    health: dict[str, float],
    code: str,
    phase: str,
) -> None:
    async with board.running():
        await commit(board, cloud, 1)
        manifest, files = bundle(2, plan, **health)
        cloud.assign(2, (cloud.add(manifest, files), manifest))
        report = await cloud.until(ended(2, phase))
        found = model(report)
        assert found is not None
        assert found.attempt is not None
        assert found.attempt.failure is not None
        assert found.attempt.failure.code == code
        assert found.active is not None
        assert (found.active.release, found.active.committed) == (1, True)
        assert await board.ask() == 1
        if phase == "rolled-back":
            assert found.attempt.timings_s["rollback"] < 1


async def test_what_no_offline_key_signed_does_not_run(board: Board, cloud: Cloud) -> None:
    async with board.running():
        cloud.publish_trust()
        manifest, files = bundle(1, {})
        cloud.assign(1, (cloud.add(manifest, files, sign=False), manifest))
        report = await cloud.until(ended(1, "failed"))
        found = model(report)
        assert found is not None
        assert found.attempt is not None
        assert found.attempt.failure is not None
        assert found.attempt.failure.code == "TRUST_REFUSED"
        assert found.active is None


async def test_a_shadow_needs_a_release_that_answers(board: Board, cloud: Cloud) -> None:
    async with board.running():
        manifest, files = bundle(1, {})
        cloud.assign(1, shadow=(cloud.add(manifest, files), manifest))
        report = await cloud.until(ended(1, "failed"))
        found = model(report)
        assert found is not None
        assert found.attempt is not None
        assert found.attempt.failure is not None
        assert found.attempt.failure.code == "SHADOW_ALONE"


async def test_a_restart_serves_from_disk_and_goes_on_with_the_fetch(
    board: Board, cloud: Cloud
) -> None:
    manifest, files = bundle(2, {})
    async with board.running():
        await commit(board, cloud, 1)
        cloud.withheld.add(manifest.files["golden.npz"].sha256)
        cloud.assign(2, (cloud.add(manifest, files), manifest))
        await cloud.until(lambda report: report.wants == (manifest.files["golden.npz"].sha256,))
    async with board.running():
        while not (serve := board.status().serve.get("digits")) or not serve.ready:
            await asyncio.sleep(0.05)
        assert await board.ask() == 1
        cloud.release_withheld()
        await cloud.until(ended(2, "committed"))
        assert await board.ask() == 2


async def test_a_worker_that_ends_slowly_has_ended_when_the_agent_has(
    board: Board, cloud: Cloud
) -> None:
    """`running` looks for workers that are left."""
    async with board.running():
        await commit(board, cloud, 1)
        manifest, files = bundle(2, {"rss_mb": 900.0, "stop_s": 0.8})
        cloud.assign(2, (cloud.add(manifest, files), manifest))
        await cloud.until(ended(2, "rolled-back"))


async def test_a_newer_assignment_supersedes_a_probation(board: Board, cloud: Cloud) -> None:
    async with board.running():
        old = await commit(board, cloud, 1)
        manifest, files = bundle(2, {}, min_requests=1000)
        cloud.assign(2, (cloud.add(manifest, files), manifest))
        await cloud.until(ended(2, "probation"))
        cloud.assign(3, old)
        await cloud.until(ended(2, "rolled-back"))
        assert await board.ask() == 1


async def test_a_model_that_is_not_assigned_any_more_is_removed(board: Board, cloud: Cloud) -> None:
    async with board.running():
        await commit(board, cloud, 1)
        cloud.assign(2)
        report = await cloud.until(lambda report: not report.models)
        assert report.generation is not None
        assert report.generation.counter == 2


async def test_a_lost_worker_of_a_committed_release_is_started_again(
    board: Board, cloud: Cloud
) -> None:
    async with board.running():
        await commit(board, cloud, 1)
        pid = board.status().serve["digits"].worker_pid
        assert pid is not None
        os.kill(pid, 9)
        while (new := board.status().serve["digits"]).worker_pid in {pid, None}:
            await asyncio.sleep(0.05)
        assert new.ready
        assert await board.ask() == 1
        await cloud.until_telemetry(
            lambda told: any(event.code == "WORKER_CRASHED" for event in told["event"].values())
        )


async def test_hostile_messages_are_refused_and_nothing_stops(board: Board, cloud: Cloud) -> None:
    async with board.running():
        await commit(board, cloud, 1)
        for leaf in ("desired", "ack"):
            cloud.publish(cloud.topics.device(DEVICE, leaf), b"\xff" * 300_000)
        cloud.publish(cloud.topics.trust("..%2fetc"), b"x")
        cloud.publish(cloud.topics.trust("index"), b"{}")
        await cloud.until_telemetry(
            lambda told: (
                {"MESSAGE_TOO_LARGE", "MESSAGE_MALFORMED", "NAME_INVALID"}
                <= {event.code for event in told["event"].values()}
            )
        )
        await commit(board, cloud, 2)
        assert await board.ask() == 2


async def test_a_raised_minimum_stops_no_serving_and_lets_no_lower_release_start(
    board: Board, cloud: Cloud
) -> None:
    async with board.running():
        old = await commit(board, cloud, 1)
        cloud.repository.set_policy("digits", minimum_release=2)
        cloud.publish_trust()
        while read_policies(board.data / "trust/store").keys() != {"digits"}:
            await asyncio.sleep(0.05)
        assert await board.ask() == 1
    async with board.running():  # what serves comes up again after a power cut
        while not (serve := board.status().serve.get("digits")) or not serve.ready:
            await asyncio.sleep(0.05)
        assert await board.ask() == 1
        await commit(board, cloud, 2)
        cloud.assign(3, old)
        report = await cloud.until(ended(1, "failed"))
        found = model(report)
        assert found is not None
        assert found.attempt is not None
        assert found.attempt.failure is not None
        assert found.attempt.failure.code == "RELEASE_BELOW_MINIMUM"
        assert await board.ask() == 2
        for _ in range(MAX_LOSSES + 2):  # release 1 is not gone back to
            while (lost := board.status().serve["digits"]).worker_pid is None or not lost.ready:
                await asyncio.sleep(0.05)
            os.kill(lost.worker_pid, 9)
            while board.status().serve["digits"].worker_pid == lost.worker_pid:
                await asyncio.sleep(0.05)
        while not board.status().serve["digits"].ready:
            await asyncio.sleep(0.05)
        assert await board.ask() == 2


async def test_a_model_for_other_processors_is_refused(board: Board, cloud: Cloud) -> None:
    async with board.running():
        cloud.repository.set_policy("digits", machines=["z80"])
        manifest, files = bundle(1, {})
        cloud.assign(1, (cloud.add(manifest, files), manifest))
        report = await cloud.until(ended(1, "failed"))
        found = model(report)
        assert found is not None
        assert found.attempt is not None
        assert found.attempt.failure is not None
        assert found.attempt.failure.code == "HARDWARE_FORBIDDEN"


async def test_expired_metadata_stops_changes_until_there_is_newer(
    board: Board, cloud: Cloud
) -> None:
    async with board.running():
        await commit(board, cloud, 1)
        far_utc = cloud.repository.expires["timestamp"]
        soon_utc = datetime.now(timezone.utc) + timedelta(seconds=2)
        cloud.repository.expires["timestamp"] = soon_utc
        manifest, files = bundle(2, {})
        raw = cloud.add(manifest, files)
        until_utc = soon_utc.replace(microsecond=0)
        await cloud.until(
            lambda report: report.trust is not None and report.trust.changes_until_utc == until_utc
        )
        while datetime.now(timezone.utc) < until_utc:
            await asyncio.sleep(0.05)
        cloud.assign(2, (raw, manifest))
        await asyncio.sleep(0.2)
        found = model(cloud.reports[-1])
        assert found is not None
        assert found.attempt is not None
        assert found.attempt.release == 1
        assert await board.ask() == 1
        cloud.repository.expires["timestamp"] = far_utc
        cloud.publish_trust()
        await cloud.until(ended(2, "committed"))


async def test_counts_of_an_in_process_client_reach_the_server(board: Board, cloud: Cloud) -> None:
    async with board.running():
        _, manifest = await commit(board, cloud, 1)
        counts = msgspec.structs.replace(Counts.zero(manifest), rows=12345)
        window = Window(
            model=manifest.model,
            release=1,
            variant=manifest.variants[0].name,
            mode="active",
            start_utc=datetime.now(timezone.utc),
            length_s=60,
            clock_synchronised=False,
            counts=counts,
        )
        reader, writer = await asyncio.open_unix_connection(DataDir(board.data).counts)
        writer.write(msgspec.json.encode(window) + b"\n")
        assert await asyncio.wait_for(reader.readline(), 5) == TAKEN
        writer.close()

        def has_come(telemetry: dict[str, dict[int, Any]]) -> bool:
            return any(
                item.counts.rows == 12345 and item.clock_synchronised
                for item in telemetry["window"].values()
            )

        await cloud.until_telemetry(has_come)
