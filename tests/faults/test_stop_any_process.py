"""Stop any one process in the middle of a rollout: no device is left without a model."""

import os
import signal
from collections.abc import Callable
from functools import partial

import psutil
import pytest
from tests.faults.conftest import answers, ended, patiently, start_rollout

from lamplighter_server.demo.fleet import signed_reports
from lamplighter_server.demo.stage import MODEL, Stage
from lamplighter_server.demo.story import FLEET
from lamplighter_server.training.run import Run

pytestmark = [pytest.mark.system, pytest.mark.timeout(180)]


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


@pytest.mark.parametrize("victim", VICTIMS)
def test_a_process_is_killed_while_the_first_wave_is_on_probation(
    stage: Stage, run: Run, victim: str
) -> None:
    before = {report.committed for report in signed_reports(stage.api, FLEET)}
    release, rollout = start_rollout(stage, run)

    def on_probation() -> str | None:
        places = stage.api.get(f"/api/v1/rollouts/{rollout}")["devices"]
        found = [place["device"] for place in places if place["phase"] == "probation"]
        return found[0] if found else None

    device = str(stage.wait("the first wave to be on probation", patiently(on_probation)))
    os.kill(VICTIMS[victim](stage, device), signal.SIGKILL)

    for name in stage.names:
        stage.wait(f"{name} to answer", partial(answers, stage, name), timeout_s=30)

    status = stage.wait("the rollout to end", ended(stage, rollout), timeout_s=90)
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
