"""The rollouts, alerts, windows and drift of one server, by HTTP and by command line."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import Any

import httpx
import pytest
import uvicorn
from typer.testing import CliRunner, Result

from lamplighter_protocol.assignment import Generation
from lamplighter_protocol.errors import LamplighterError
from lamplighter_protocol.reported import Failure
from lamplighter_server.cli.app import app
from lamplighter_server.doors import people_app
from lamplighter_server.rollouts import controller

TOKEN = "a token of the tests"


@dataclass
class Door:
    """A server that people reach, and the command line that speaks to it."""

    stage: Any
    url: str

    async def request(self, method: str, path: str, **options: Any) -> httpx.Response:
        headers = {"Authorization": f"Bearer {TOKEN}"}
        async with httpx.AsyncClient(base_url=self.url, headers=headers) as client:
            return await client.request(method, path, **options)

    async def run(self, *arguments: str) -> Result:
        line = ["--server", self.url, "--token", TOKEN, *arguments]
        return await asyncio.to_thread(CliRunner().invoke, app, line)


@pytest.fixture
async def door(stage: Any, free_port: Callable[[], int]) -> AsyncIterator[Door]:
    port = free_port()
    config = uvicorn.Config(people_app(stage.context, TOKEN), port=port, log_config=None)
    server = uvicorn.Server(config)
    serving = asyncio.create_task(server.serve())
    while not server.started:
        await asyncio.sleep(0.01)
    for number, site in enumerate(["a", "b", "a"]):
        await stage.add_device(f"cam-{number}", site=site)
    await stage.add_release("digits", 1)
    yield Door(stage, f"http://127.0.0.1:{port}")
    server.should_exit = True
    await serving


async def test_the_life_of_a_rollout_by_http(door: Door) -> None:
    made = await door.request(
        "POST",
        "/api/v1/rollouts",
        json={"model": "digits", "release": 1, "policy": {"waves": ["1", "100%"]}},
    )
    assert made.status_code == 201
    rollout = made.json()["id"]
    assert made.json()["status"] == "draft"
    started = await door.request("POST", f"/api/v1/rollouts/{rollout}/start", json={})
    assert started.json()["status"] == "running"
    again = await door.request("POST", f"/api/v1/rollouts/{rollout}/start")
    assert (again.status_code, again.json()["code"]) == (409, "STATE_FORBIDS")
    await controller.tick(door.stage.context)
    found = (await door.request("GET", f"/api/v1/rollouts/{rollout}")).json()
    assert [place["state"] for place in found["devices"]] == ["assigned", "waiting", "waiting"]
    assert found["waves"][0]["opened_utc"] == "2026-05-01T12:00:00Z"
    assert [moment["what"] for moment in found["timeline"]] == [
        "created",
        "started",
        "wave 1 opened",
    ]
    aborted = await door.request("POST", f"/api/v1/rollouts/{rollout}/abort")
    assert aborted.json()["status"] == "aborting"
    await controller.tick(door.stage.context)
    (listed,) = (await door.request("GET", "/api/v1/rollouts")).json()
    assert (listed["status"], listed["id"]) == ("aborted", rollout)
    (alert,) = (await door.request("GET", "/api/v1/alerts")).json()
    assert alert["kind"] == "rollout-aborted"


@pytest.mark.parametrize(
    ("method", "path", "body", "code"),
    [
        ("POST", "/api/v1/rollouts", {"model": "digits", "release": 9}, "NOT_FOUND"),
        (
            "POST",
            "/api/v1/rollouts",
            {"model": "digits", "release": 1, "policy": {"waves": ["2"]}},
            "ROLLOUT_INVALID",
        ),
        ("GET", "/api/v1/rollouts/none", None, "NOT_FOUND"),
        ("POST", "/api/v1/rollouts/none/abort", {}, "NOT_FOUND"),
        ("GET", "/api/v1/windows?model=digits&release=9", None, "NOT_FOUND"),
        ("GET", "/api/v1/drift?model=digits&release=9", None, "NOT_FOUND"),
    ],
)
async def test_mistakes_have_a_code(
    door: Door, method: str, path: str, body: dict[str, Any] | None, code: str
) -> None:
    answer = await door.request(method, path, json=body)
    assert answer.json()["code"] == code


async def test_a_time_without_a_zone_is_refused(door: Door) -> None:
    answer = await door.request(
        "GET", "/api/v1/windows?model=digits&release=1&since=2026-05-01T00:00:00"
    )
    assert answer.status_code in {400, 422}


@pytest.mark.parametrize("path", ["events", "vitals", "windows?model=digits&release=1", "alerts"])
async def test_what_is_empty_is_an_empty_list(door: Door, path: str) -> None:
    answer = await door.request("GET", f"/api/v1/{path}")
    assert (answer.status_code, answer.json()) == (200, [])


async def test_the_life_of_a_rollout_by_command(door: Door) -> None:
    made = await door.run(
        "rollout",
        "create",
        "digits@1",
        "--where",
        "site=a",
        "--waves",
        "1,100%",
        "--start",
        "--json",
    )
    assert made.exit_code == 0, made.output
    rollout = json.loads(made.stdout)["id"]
    await controller.tick(door.stage.context)
    found = json.loads((await door.run("rollout", "status", rollout, "--json")).stdout)
    canary = next(place["device"] for place in found["devices"] if place["state"] == "assigned")
    cause = Failure(code="GOLDEN_MISMATCH", sentence="Row 3 differs.")
    await door.stage.report(canary, tried=1, phase="rolled-back", failure=cause)
    await controller.tick(door.stage.context)
    shown = await door.run("rollout", "status", rollout, "--watch")
    assert shown.exit_code == 0, shown.output
    assert "aborted" in shown.output
    assert "250 ms" in shown.output
    listed = await door.run("rollout", "ls")
    assert "aborted" in listed.output
    alerts = await door.run("alert", "ls")
    assert f"Run: lamplighter rollout status {rollout}" in alerts.output
    everything = json.loads((await door.run("alert", "ls", "--all", "--json")).stdout)
    assert [alert["kind"] for alert in everything] == ["rollout-aborted"]
    refused = await door.run("rollout", "abort", rollout)
    assert isinstance(refused.exception, LamplighterError)
    assert refused.exception.code == "STATE_FORBIDS"
    report = await door.run("drift", "report", "digits@1")
    assert report.exit_code == 0, report.output


async def test_a_plan_is_changed_and_approved_by_command(door: Door) -> None:
    made = json.loads((await door.run("rollout", "create", "digits@1", "--json")).stdout)
    rollout = made["id"]
    narrower = await door.run("rollout", "revise", rollout, "--where", "site=b", "--json")
    found = json.loads(narrower.stdout)
    assert (found["revision"], [place["device"] for place in found["devices"]]) == (2, ["cam-1"])
    refused = await door.run("rollout", "approve", rollout, "--revision", "2")
    assert isinstance(refused.exception, LamplighterError)
    assert refused.exception.code == "APPROVER_IS_CREATOR"
    asked = await door.run("rollout", "approve", rollout)
    assert (asked.exit_code, "Planned by" in asked.output) == (1, True)


async def test_a_release_may_be_called_by_its_name(door: Door) -> None:
    set_it = await door.run("model", "alias", "set", "champion", "digits@1")
    assert set_it.stdout == "digits@champion is digits@1 now.\n"
    made = await door.run("rollout", "create", "digits@champion", "--json")
    assert json.loads(made.stdout)["release"] == 1
    listed = await door.run("model", "alias", "ls", "--json")
    assert [item["alias"] for item in json.loads(listed.stdout)] == ["champion"]
    forgotten = await door.run("model", "alias", "rm", "digits@champion")
    assert forgotten.exit_code == 0
    unknown = await door.run("rollout", "create", "digits@champion")
    assert isinstance(unknown.exception, LamplighterError)
    assert unknown.exception.code == "NOT_FOUND"


async def test_a_person_sees_what_ran_where(door: Door) -> None:
    await door.stage.report("cam-0", committed=1, generation=Generation(1, 1))
    (ran,) = json.loads((await door.run("model", "history", "digits", "--json")).stdout)
    assert (ran["device"], ran["release"], ran["until_utc"]) == ("cam-0", 1, None)
    assert "now" in (await door.run("model", "history", "digits", "--device", "cam-0")).stdout
    unknown = await door.run("model", "history", "digits", "--device", "cam-9")
    assert isinstance(unknown.exception, LamplighterError)


@pytest.mark.parametrize(
    "arguments",
    [
        ("create", "digits"),
        ("create", "digits@"),
        ("create", "digits@1", "--where", "site"),
        ("create", "digits@1", "--deadline", "soon"),
    ],
)
async def test_a_wrong_use_is_said_before_anything_is_sent(
    door: Door, arguments: tuple[str, ...]
) -> None:
    assert (await door.run("rollout", *arguments)).exit_code == 2
