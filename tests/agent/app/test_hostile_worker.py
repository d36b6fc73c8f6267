"""Workers that mean harm: each loses its place, and the last good model goes on answering."""

import asyncio
import os
import resource
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import suppress
from pathlib import Path

import psutil
import pytest
from tests.agent import hostile_worker
from tests.agent.app.test_supervisor import DEVICE_KEY, KEY, Board, bundle, commit, ended, model
from tests.agent.cloud import Cloud

from lamplighter_agent.app.family import adopted_orphans
from lamplighter_agent.app.limits import Limits
from lamplighter_agent.app.worker_log import KEPT_BYTES, READ_BYTES_PER_S
from lamplighter_agent.app.workers import WorkerProcess
from lamplighter_protocol.bundle import encode_manifest
from lamplighter_protocol.errors import LamplighterError

COMMAND = (sys.executable, "-m", hostile_worker.__name__)
LOSSES = [
    ("leak", "MEMORY_OVER_BUDGET"),
    ("leak_in_children", "MEMORY_OVER_BUDGET"),
    ("allocate_at_once", "WORKER_CRASHED"),
    ("fork_on", "WORKER_FORKED"),
    ("hang_in_native_code", "WORKER_HUNG"),
    ("print_to_the_log", "WORKER_HUNG"),
    ("print_to_the_supervisor", "WORKER_CRASHED"),
    ("print_an_endless_line", "WORKER_CRASHED"),
]


@pytest.fixture(name="cloud")
async def _cloud(mosquitto: int) -> AsyncIterator[Cloud]:
    async with Cloud(mosquitto, DEVICE_KEY.public_key(), KEY) as cloud:
        yield cloud


@pytest.fixture
def board(tmp_path: Path, mosquitto: int, cloud: Cloud) -> Board:
    return Board(tmp_path / "data", mosquitto, cloud.repository.root_bytes)


@pytest.fixture(autouse=True)
def _nothing_is_left_behind(tmp_path: Path) -> Iterator[None]:
    with adopted_orphans():
        yield
        end_mono = time.monotonic() + 5
        while left := hostile_pids(tmp_path):
            assert time.monotonic() < end_mono, left
            time.sleep(0.05)


def hostile_pids(folder: Path) -> set[int]:
    """Of all that a worker with files in this folder has become; zombies are none."""
    found = set()
    for process in psutil.process_iter():
        try:
            command = process.cmdline()
        except psutil.Error:
            continue
        if hostile_worker.__name__ in command and str(folder) in " ".join(command):
            found.add(process.pid)
    return found


@pytest.mark.parametrize(("harm", "code"), LOSSES)
async def test_the_last_good_model_survives_a_hostile_one(
    board: Board, cloud: Cloud, harm: str, code: str
) -> None:
    async with board.running(worker_command=COMMAND):
        await commit(board, cloud, 1)
        manifest, files = bundle(
            2, {"harm": harm}, max_crashes=0, probation_s=60.0, memory_budget_mb=100.0
        )
        cloud.assign(2, (cloud.add(manifest, files), manifest))
        found = model(await cloud.until(ended(2, "rolled-back"), timeout_s=40))
        assert found is not None
        assert found.attempt is not None
        assert found.attempt.failure is not None
        assert found.attempt.failure.code == "WORKER_CRASHED"  # more often than allowed
        assert await board.ask() == 1
        assert found.active is not None
        assert (found.active.release, found.active.committed) == (1, True)


@pytest.mark.parametrize("harm", ["fork_once", "escape"])
async def test_what_a_worker_has_started_ends_with_it(
    board: Board, cloud: Cloud, harm: str
) -> None:
    async with board.running(worker_command=COMMAND):
        await commit(board, cloud, 1, harm=harm)
        pid = board.status().serve["digits"].worker_pid
        assert pid is not None
        family = hostile_pids(board.data)
        assert len(family) == 2
        os.kill(pid, signal.SIGKILL)  # the other keeps the pipes open
        while (new := board.status().serve["digits"]).worker_pid in {pid, None}:
            await asyncio.sleep(0.05)
        assert new.ready
        assert not family & hostile_pids(board.data)
        assert await board.ask() == 1


def oom_score(pid: int) -> str:
    return Path(f"/proc/{pid}/oom_score_adj").read_text().strip()


async def start(harm: str, folder: Path, hang_s: float = 30.0) -> WorkerProcess:
    manifest, files = bundle(1, {"harm": harm})
    for name, raw in files.items():
        (folder / name).write_bytes(raw)
    (folder / "bundle.json").write_bytes(encode_manifest(manifest))
    options = ("--manifest", str(folder / "bundle.json"), "--files", str(folder))
    worker = await WorkerProcess.start([*COMMAND, *options], [], hang_s, Limits(100.0))
    await worker.loaded(20)
    return worker


@pytest.mark.parametrize(("harm", "code"), LOSSES)
async def test_each_harm_is_told_by_its_code(harm: str, code: str, tmp_path: Path) -> None:
    worker = await start(harm, tmp_path, hang_s=1.0)
    await worker.serve()
    await asyncio.wait_for(worker.exited.wait(), 30)
    assert worker.loss.code == code


async def test_what_runs_away_is_caught(tmp_path: Path) -> None:
    worker = await start("run_away", tmp_path)
    with suppress(LamplighterError):
        await worker.serve()
    await asyncio.wait_for(worker.exited.wait(), 10)
    assert worker.loss.code == "WORKER_CRASHED"
    assert hostile_pids(tmp_path) == set()


@pytest.mark.parametrize("harm", ["print_to_the_log", "beat_without_end"])
async def test_a_flood_is_held_back_and_kept_out_of_the_log(
    harm: str, tmp_path: Path, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    worker = await start(harm, tmp_path)
    await worker.serve()
    started_mono = time.monotonic()
    await asyncio.sleep(0.2)
    while time.monotonic() - started_mono < 1.5:
        await asyncio.sleep(0.05)
    printed_bytes = psutil.Process(worker.pid).io_counters().write_chars
    passed_s = time.monotonic() - started_mono
    worker.kill()
    await worker.exited.wait()
    buffers_bytes = 4 * 2**20
    assert printed_bytes < READ_BYTES_PER_S * (passed_s + 1) + buffers_bytes
    assert len(capfdbinary.readouterr().err) < KEPT_BYTES + 4096


async def test_a_worker_has_its_limits_and_a_shadow_lower_ones(tmp_path: Path) -> None:
    for in_shadow, nice, score in ((False, psutil.Process().nice(), "500"), (True, 19, "1000")):
        limits = Limits(100.0, in_shadow=in_shadow)
        worker = await WorkerProcess.start(["sleep", "60"], [], 30.0, limits)
        process = psutil.Process(worker.pid)
        assert process.nice() == nice
        assert await asyncio.to_thread(oom_score, worker.pid) == score
        soft, hard = process.rlimit(psutil.RLIMIT_DATA)
        assert 100 * 2**20 < soft == hard < 2**30
        worker.kill()
        await worker.exited.wait()


def test_a_limit_that_is_there_is_never_raised() -> None:
    there = (64 * 2**20, 64 * 2**20)
    with subprocess.Popen(["sleep", "60"]) as process:
        resource.prlimit(process.pid, resource.RLIMIT_DATA, there)
        Limits(100.0).apply(process.pid)
        assert resource.prlimit(process.pid, resource.RLIMIT_DATA) == there
        process.kill()
