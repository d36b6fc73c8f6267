"""A thief of the whole server makes a device run nothing that offline keys did not sign."""

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest
from tests.system.thief import Thief

from lamplighter_protocol import dsse
from lamplighter_protocol.assignment import Generation
from lamplighter_protocol.blobs import describe
from lamplighter_protocol.reported import Reported, accept_reported
from lamplighter_server.demo.fleet import roll_out, signed_reports
from lamplighter_server.demo.processes import Processes
from lamplighter_server.demo.stage import HEALTH, MODEL, Stage
from lamplighter_server.demo.story import FLEET, Story
from lamplighter_server.demo.view import View
from lamplighter_server.publishing.client import publish_release
from lamplighter_server.training.experiment import RECIPES
from lamplighter_server.training.release import build_release
from lamplighter_server.training.run import run_experiment

pytestmark = [pytest.mark.system, pytest.mark.timeout(280)]

DEVICE = "meter-01"
LAST_COUNTER = 2**52


@pytest.fixture
def stage(tmp_path: Path, require_program: Callable[..., str]) -> Iterator[Stage]:
    """A server, its broker and one device that has committed release 1."""
    require_program("mosquitto")
    (tmp_path / "logs").mkdir()
    with Processes(tmp_path / "logs") as processes:
        stage = Stage(tmp_path, 1, processes, View([]))
        story = Story(stage)
        for step in (story.come_up, story.publish_first, story.roll_out_first):
            step()
        yield stage
        stage.close()


@contextmanager
def held_still(stage: Stage) -> Iterator[None]:
    """The server says nothing while the thief speaks in its place; the broker goes on."""
    server = stage.processes.pid("server")
    os.kill(server, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(server, signal.SIGCONT)


def release_that_answers(stage: Stage) -> str:
    body = {"inputs": [{"name": "image", "shape": [1, 64], "datatype": "FP32", "data": [0.0] * 64}]}
    url = stage.agent_status(DEVICE)["serve"][MODEL]["url"]
    reply = httpx.post(f"{url}/v2/models/{MODEL}/infer", json=body, timeout=10)
    assert reply.status_code == 200
    return str(reply.json()["model_version"])


def refusals(report: Reported) -> str:
    """Every refusal that a report tells of."""
    attempts = [item.attempt.failure for item in report.models if item.attempt is not None]
    told = (failure for failure in (report.problem, *attempts) if failure is not None)
    return "\n".join(f"{failure.code}: {failure.sentence}" for failure in told)


def test_a_stolen_server_runs_nothing_and_is_recovered_from(stage: Stage, tmp_path: Path) -> None:
    [before] = signed_reports(stage.api, FLEET)
    proof = stage.api.get(f"/api/v1/devices/{DEVICE}/report")
    key = dsse.load_public(proof["public_key_pem"])
    good = before.document.models[0].active
    assert good is not None
    evil = {
        release: build_release(run_experiment(RECIPES["inverted"]), release, HEALTH).bundle
        for release in (2, 3)
    }
    with held_still(stage):
        stolen = tmp_path / "stolen"
        shutil.copytree(stage.folder / "server", stolen)
        thief = Thief(stolen, broker_port(stage), DEVICE)

        def wait_for(code: str, about: str, generation: Generation) -> None:
            """Wait for a signed report that refuses; the good release answers all the while."""

            def look() -> bool:
                report = accept_reported(
                    thief.read_report(), device=DEVICE, fleet=FLEET, key=key, last_counter=-1
                )
                for model in report.models:
                    assert model.active is not None
                    assert model.active.manifest_sha256 == good.manifest_sha256
                assert release_that_answers(stage) == "1"
                told = refusals(report)
                return report.generation == generation and code in told and about in told

            stage.wait(f"{code} about {about} of {generation}", look, timeout_s=30)

        counter, path = thief.good.generation.counter, f"models/{MODEL}"
        # (a) A release of his own, under metadata that every stolen key has signed.
        thief.publish_bundle(evil[2])
        wait_for("TRUST_REFUSED", "targets", thief.good.generation)
        told = thief.direct(counter + 1, 2, describe(evil[2].manifest_raw))
        wait_for("TRUST_REFUSED", f"{path}/2", told)
        # (b) A release that the targets do not name.
        told = thief.direct(counter + 2, 3, describe(evil[3].manifest_raw))
        wait_for("TRUST_REFUSED", f"{path}/3", told)
        # (c) The signed release, with other bytes.
        told = thief.direct(counter + 3, 1, describe(evil[2].manifest_raw))
        wait_for("TRUST_REFUSED", f"another {path}/1", told)
        # (d) The counter that leaves no room for others: this epoch is his.
        last = thief.send(LAST_COUNTER, thief.good.models)
        thief.send(counter + 4, thief.good.models)
        wait_for("ASSIGNMENT_STALE", str(counter + 4), last)

    # (e) The offline keys take the server back, and the next rollout goes through.
    done = rotate(stage, "snapshot", "timestamp", "director")
    assert done.returncode == 0, done.stderr
    built = build_release(run_experiment(RECIPES["baseline"]), 2, HEALTH)
    publish_release(stage.api, stage.keys_dir, stage.passphrase, built.bundle, built.evidence_raw)
    rollout = roll_out(stage.api, 2, ["100%"], deadline_s=60)

    def ended() -> str | None:
        status = str(stage.api.get(f"/api/v1/rollouts/{rollout}")["status"])
        return status if status in {"succeeded", "aborted"} else None

    assert stage.wait("the rollout to end", ended, timeout_s=90) == "succeeded"
    [after] = signed_reports(stage.api, FLEET)
    assert after.committed == 2
    assert after.document.generation is not None
    assert after.document.generation.epoch == 2
    assert after.document.generation.counter < LAST_COUNTER
    active = after.model.active
    assert active is not None
    assert active.manifest_sha256 == built.bundle.sha256
    assert release_that_answers(stage) == "2"

    # What was stolen is worth nothing now.
    thief.direct(LAST_COUNTER + 1, 2, describe(evil[2].manifest_raw))
    stage.wait(
        "the device to refuse the stolen key",
        lambda: "SIGNATURE_INVALID" in refusals(signed_reports(stage.api, FLEET)[0].document),
    )
    assert release_that_answers(stage) == "2"


def broker_port(stage: Stage) -> int:
    """As the broker's configuration has it."""
    config = (stage.folder / "server" / "broker" / "mosquitto.conf").read_text()
    return int(config.split()[1])


def rotate(stage: Stage, *roles: str) -> "subprocess.CompletedProcess[str]":
    """What the person with the offline keys types."""
    return subprocess.run(
        [sys.executable, "-m", "lamplighter_server.cli", "keys", "rotate", *roles],
        env={
            **os.environ,
            "LAMPLIGHTER_SERVER": stage.console,
            "LAMPLIGHTER_TOKEN": (stage.folder / "server" / "admin.token").read_text().strip(),
            "LAMPLIGHTER_KEYS_DIR": str(stage.keys_dir),
            "LAMPLIGHTER_PASSPHRASE": stage.passphrase,
        },
        capture_output=True,
        text=True,
        timeout=60,
    )
