"""MLflow itself loads the plugin, and its command line makes a rollout on a real server."""

import asyncio
import json
import os
import shutil
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
import uvicorn
from mlflow import MlflowClient
from mlflow.deployments import get_deploy_client
from mlflow.exceptions import MlflowException

from lamplighter_server.adapters.mlflow_deployments import RELEASE_TAG, find_release, read_config
from lamplighter_server.doors import people_app
from lamplighter_server.rollouts import controller

TOKEN = "a token of the tests"


@pytest.fixture(scope="session")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """MLflow's own store with version 1 of `reader` (digits@1) and an untagged version 2."""
    database = tmp_path_factory.mktemp("mlflow") / "mlflow.db"
    client = MlflowClient(f"sqlite:///{database}")
    client.create_registered_model("reader")
    client.create_model_version("reader", "/nowhere", tags={RELEASE_TAG: "digits@1"})
    client.create_model_version("reader", "/nowhere")
    client.set_registered_model_alias("reader", "champion", "1")
    return database


@pytest.fixture
def registry(filled: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> MlflowClient:
    address = f"sqlite:///{shutil.copy(filled, tmp_path)}"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", address)
    return MlflowClient(address)


@pytest.fixture
async def fleet(
    stage: Any, free_port: Callable[[], int], monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Any]:
    port = free_port()
    config = uvicorn.Config(people_app(stage.context, TOKEN), port=port, log_config=None)
    server = uvicorn.Server(config)
    serving = asyncio.create_task(server.serve())
    while not server.started:
        await asyncio.sleep(0.01)
    monkeypatch.setenv("LAMPLIGHTER_SERVER", f"http://127.0.0.1:{port}")
    monkeypatch.setenv("LAMPLIGHTER_TOKEN", TOKEN)
    for number in range(3):
        await stage.add_device(f"cam-{number}", site="mill")
    await stage.add_release("digits", 1)
    yield stage
    server.should_exit = True
    await serving


async def mlflow(*arguments: str) -> "subprocess.CompletedProcess[str]":
    command = str(Path(sys.executable).with_name("mlflow"))
    return await asyncio.to_thread(
        subprocess.run,
        [command, "deployments", *arguments],
        capture_output=True,
        text=True,
        check=False,
        env=dict(os.environ),
    )


async def test_a_model_version_is_rolled_out_by_mlflows_command(
    fleet: Any, registry: MlflowClient
) -> None:
    made = await mlflow(
        *("create", "-t", "lamplighter", "--name", "digits", "-m", "models:/reader@champion"),
        *("-C", "start=true", "-C", "waves=1,100%", "-C", "where=site=mill"),
    )
    assert made.returncode == 0, made.stderr
    await controller.tick(fleet.context)
    assert sum([await fleet.desired(name) is not None for name in fleet.boards]) == 1
    shown = await mlflow("get", "-t", "lamplighter", "--name", "digits")
    assert "running" in shown.stdout


async def test_the_life_of_a_deployment(fleet: Any, registry: MlflowClient) -> None:
    client = await asyncio.to_thread(get_deploy_client, "lamplighter")

    async def call(name: str, *arguments: Any, **named: Any) -> Any:
        return await asyncio.to_thread(getattr(client, name), *arguments, **named)

    with pytest.raises(MlflowException, match="NOT_FOUND"):
        await call("get_deployment", "digits")
    made = await call("create_deployment", "digits", "models:/reader/1")
    assert (made["name"], made["status"]) == ("digits", "draft")
    with pytest.raises(MlflowException, match="update or delete it"):
        await call("create_deployment", "digits", "models:/reader/1")
    assert [item["id"] for item in await call("list_deployments")] == [made["id"]]
    for _ in range(2):
        await call("delete_deployment", "digits")
    await controller.tick(fleet.context)
    assert (await call("get_deployment", "digits"))["status"] == "aborted"
    await call("update_deployment", "digits", "models:/reader/1")
    with pytest.raises(MlflowException, match="POST /v2/models"):
        await call("predict", "digits", {})
    with pytest.raises(MlflowException, match="name the deployment 'digits'"):
        await call("create_deployment", "cats", "models:/reader/1")


def test_a_run_may_be_tagged_instead(registry: MlflowClient) -> None:
    run = registry.create_run(registry.create_experiment("digits"), tags={RELEASE_TAG: "digits@7"})
    assert find_release(registry, f"runs:/{run.info.run_id}/model") == ("digits", 7)
    registry.create_model_version("reader", "/nowhere", run_id=run.info.run_id)
    assert find_release(registry, "models:/reader/3") == ("digits", 7)


@pytest.mark.parametrize(
    ("uri", "why"),
    [
        ("models:/reader/2", "publish it first"),
        ("models:/reader/9", "not found"),
        ("models:/nobody@champion", "not found"),
        ("s3://bucket/model", "is neither"),
        ("models:/reader", "is neither"),
    ],
)
def test_what_stands_for_no_release_is_refused(registry: MlflowClient, uri: str, why: str) -> None:
    with pytest.raises(MlflowException, match=why):
        find_release(registry, uri)


def test_a_config_is_a_policy() -> None:
    texts = {"waves": "1, 100%", "where": "site=mill,ring=a", "deadline_s": "60", "start": "True"}
    assert json.loads(json.dumps(read_config(texts))) == [
        {"waves": ["1", "100%"], "where": {"site": "mill", "ring": "a"}, "deadline_s": 60},
        True,
    ]


@pytest.mark.parametrize(
    "config", [{"start": "perhaps"}, {"where": "mill"}, {"deadline_s": "soon"}, {"colour": "red"}]
)
def test_a_config_that_cannot_be_read_is_refused(config: dict[str, str]) -> None:
    with pytest.raises(MlflowException):
        read_config(config)
