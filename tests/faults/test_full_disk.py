"""A disk that fills before a rollout: the device serves on, says so, and goes on later."""

import os
from contextlib import suppress
from pathlib import Path

import pytest
from tests.faults.conftest import SMALL_DISK, answers, ended, start_rollout

from lamplighter_server.demo.fleet import signed_reports
from lamplighter_server.demo.stage import Stage
from lamplighter_server.demo.story import FLEET
from lamplighter_server.training.run import Run

pytestmark = [pytest.mark.system, pytest.mark.timeout(180)]


def fill(folder: Path) -> Path:
    """Leave no room at all."""
    filler = folder / "filler"
    with filler.open("wb", buffering=0) as file, suppress(OSError):
        while True:
            file.write(os.urandom(4096))
    return filler


def test_a_full_disk_costs_no_model_and_the_update_goes_on_when_there_is_room(
    stage: Stage, run: Run, small_disk: Path | None
) -> None:
    if small_disk is None:
        if os.environ.get("CI"):
            pytest.fail("CI may not mount a file system")
        pytest.skip("mounting a small disk needs root")
    filler = fill(small_disk)
    release, rollout = start_rollout(stage, run)

    def reported() -> bool:
        problem = stage.api.get(f"/api/v1/devices/{SMALL_DISK}")["problem"]
        return problem is not None and problem["code"] == "DISK_FULL"

    stage.wait("the device to report it", reported, timeout_s=40)
    assert all(answers(stage, name) for name in stage.names)
    assert stage.processes.given_up() == []

    filler.unlink()
    assert stage.wait("the rollout to end", ended(stage, rollout), timeout_s=90) == "succeeded"
    assert {report.committed for report in signed_reports(stage.api, FLEET)} == {release}
    assert all(answers(stage, name) for name in stage.names)
