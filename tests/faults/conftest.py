"""A small fleet of real processes, on which one thing after the other goes wrong."""

import itertools
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from lamplighter_protocol.errors import LamplighterError
from lamplighter_server.demo.fleet import roll_out
from lamplighter_server.demo.processes import Processes
from lamplighter_server.demo.stage import HEALTH, MODEL, Stage
from lamplighter_server.demo.story import Story
from lamplighter_server.demo.view import View
from lamplighter_server.publishing.client import publish_release
from lamplighter_server.training.experiment import RECIPES
from lamplighter_server.training.release import build_release
from lamplighter_server.training.run import Run, run_experiment

DEVICES = 3
#: The device whose data lies on a disk of its own.
SMALL_DISK = "meter-03"
DISK_BYTES = 4 * 1024 * 1024
releases = itertools.count(2)


@pytest.fixture(scope="session")
def run() -> Run:
    return run_experiment(RECIPES["baseline"])


@pytest.fixture(scope="session")
def small_disk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path | None]:
    """A file system of a few megabytes; None where we may not mount one."""
    folder = tmp_path_factory.mktemp("fleet") / "devices" / SMALL_DISK
    folder.mkdir(parents=True)
    mount = ["mount", "-t", "tmpfs", "-o", f"size={DISK_BYTES}", "tmpfs", str(folder)]
    if os.geteuid() != 0 or shutil.which("mount") is None:
        yield None
        return
    mounted = subprocess.run(mount, capture_output=True).returncode == 0
    yield folder if mounted else None
    if mounted:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


@pytest.fixture(scope="session")
def stage(
    tmp_path_factory: pytest.TempPathFactory,
    small_disk: Path | None,
    require_program: Callable[..., str],
) -> Iterator[Stage]:
    require_program("mosquitto")
    folder = small_disk.parents[1] if small_disk else tmp_path_factory.mktemp("fleet")
    (folder / "logs").mkdir()
    with Processes(folder / "logs") as processes:
        stage = Stage(folder, DEVICES, processes, View([]))
        story = Story(stage)
        for step in (story.come_up, story.publish_first, story.roll_out_first):
            step()
        yield stage
        stage.close()


def start_rollout(stage: Stage, run: Run) -> tuple[int, str]:
    """Publish the run once more as a new release and roll it out; its number and the rollout."""
    release = next(releases)
    built = build_release(run, release, HEALTH)
    publish_release(stage.api, stage.keys_dir, stage.passphrase, built.bundle, built.evidence_raw)
    return release, roll_out(stage.api, release, ["1", "100%"], deadline_s=60)


def ended(stage: Stage, rollout: str) -> Callable[[], str | None]:
    def look() -> str | None:
        status = str(stage.api.get(f"/api/v1/rollouts/{rollout}")["status"])
        return status if status in {"succeeded", "aborted"} else None

    return patiently(look)


def answers(stage: Stage, device: str) -> bool:
    body = {"inputs": [{"name": "image", "shape": [1, 64], "datatype": "FP32", "data": [0.0] * 64}]}
    try:
        url = stage.agent_status(device)["serve"][MODEL]["url"]
        reply = httpx.post(f"{url}/v2/models/{MODEL}/infer", json=body, timeout=10)
    except (httpx.TransportError, KeyError, FileNotFoundError):
        return False
    return reply.status_code == 200


def patiently(look: Callable[[], Any]) -> Callable[[], Any]:
    """Look, but take a server that is being started again for nothing to see."""

    def seen() -> Any:
        try:
            return look()
        except LamplighterError as error:
            if error.code != "SERVER_UNREACHABLE":
                raise
            return None

    return seen
