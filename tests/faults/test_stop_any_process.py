"""Stop any one process in the middle of a rollout: no device is left without a model."""

import itertools
import os
import signal
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import httpx
import psutil
import pytest

from lamplighter_protocol.errors import LamplighterError
from lamplighter_server.demo.fleet import roll_out, signed_reports
from lamplighter_server.demo.processes import Processes
from lamplighter_server.demo.stage import HEALTH, MODEL, Stage
from lamplighter_server.demo.story import FLEET, Story
from lamplighter_server.demo.view import View
from lamplighter_server.publishing.client import publish_release
from lamplighter_server.training.experiment import RECIPES
from lamplighter_server.training.release import build_release
from lamplighter_server.training.run import Run, run_experiment

DEVICES = 3
pytestmark = [pytest.mark.system, pytest.mark.timeout(180)]
releases = itertools.count(2)


@pytest.fixture(scope="module")
def run() -> Run:
    return run_experiment(RECIPES["baseline"])


@pytest.fixture(scope="module")
def stage(
    tmp_path_factory: pytest.TempPathFactory, require_program: Callable[..., str]
) -> Iterator[Stage]:
    require_program("mosquitto")
    folder = tmp_path_factory.mktemp("fleet")
    (folder / "logs").mkdir()
    with Processes(folder / "logs") as processes:
        stage = Stage(folder, DEVICES, processes, View([]))
        story = Story(stage)
        for step in (story.come_up, story.publish_first, story.roll_out_first):
            step()
        yield stage
        stage.close()


def broker_pid(stage: Stage) -> int:
    children = psutil.Process(stage.processes.pid("server")).children(recursive=True)
    return int(next(child.pid for child in children if child.name() == "mosquitto"))


#: Whom to stop, by the name of the part; the device is the one in the first wave.
VICTIMS: dict[str, Callable[[Stage, str], int]] = {
    "worker": lambda stage, device: int(stage.agent_status(device)["serve"][MODEL]["worker_pid"]),
    "supervisor": lambda stage, device: stage.processes.pid(device),
    "server": lambda stage, _: stage.processes.pid("server"),
    "broker": lambda stage, _: broker_pid(stage),
}


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


@pytest.mark.parametrize("victim", VICTIMS)
def test_a_process_is_killed_while_the_first_wave_is_on_probation(
    stage: Stage, run: Run, victim: str
) -> None:
    release = next(releases)
    before = {report.committed for report in signed_reports(stage.api, FLEET)}
    built = build_release(run, release, HEALTH)
    publish_release(stage.api, stage.keys_dir, stage.passphrase, built.bundle, built.evidence_raw)
    rollout = roll_out(stage.api, release, ["1", "100%"], deadline_s=60)

    def on_probation() -> str | None:
        places = stage.api.get(f"/api/v1/rollouts/{rollout}")["devices"]
        found = [place["device"] for place in places if place["phase"] == "probation"]
        return found[0] if found else None

    device = str(stage.wait("the first wave to be on probation", patiently(on_probation)))
    os.kill(VICTIMS[victim](stage, device), signal.SIGKILL)

    for name in stage.names:
        stage.wait(f"{name} to answer", partial(answers, stage, name), timeout_s=30)

    def ended() -> str | None:
        status = stage.api.get(f"/api/v1/rollouts/{rollout}")["status"]
        return status if status in {"succeeded", "aborted"} else None

    status = stage.wait("the rollout to end", patiently(ended), timeout_s=90)
    wanted = {"succeeded": {release}, "aborted": before}[str(status)]
    stage.wait(
        "every device to have signed what it runs",
        patiently(
            lambda: {report.committed for report in signed_reports(stage.api, FLEET)} == wanted
        ),
    )
    assert all(answers(stage, name) for name in stage.names)
    # A killed server or broker is no fault of the release: it must go through.
    assert status == "succeeded" or victim == "worker"
