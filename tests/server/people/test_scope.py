"""Somebody who is limited to labels sees and touches only those devices."""

from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

from lamplighter_protocol.canonical import encode
from lamplighter_server.alerts import service as alerts
from lamplighter_server.doors import people_app
from lamplighter_server.people import service, tokens
from lamplighter_server.people.access import Caller, Role
from lamplighter_server.telemetry.models import EventRow, VitalsRow
from lamplighter_server.trust.models import TrustFileRow

ROLLOUTS = "/api/v1/rollouts"


@pytest.fixture
async def limited(stage: Any) -> AsyncIterator[httpx.AsyncClient]:
    """The program of an approver at the harbour; there is a mill as well."""
    for number, site in enumerate(["harbour", "harbour", "mill"]):
        await stage.add_device(f"cam-{number}", site=site)
    await stage.add_release("digits", 1)
    async with stage.context.database.transaction() as session:
        session.add(TrustFileRow(name="1.root.json", body=encode({}), published=True))
        labels = {"site": "harbour"}
        await service.add(
            session,
            "hans",
            role=Role.APPROVER,
            labels=labels,
            password_hash=None,
            now_utc=stage.now,
        )
        by = Caller(stage.admin.actor, "hans", Role.APPROVER)
        _, text = await tokens.create(
            *(session, by),
            purpose="",
            role=Role.APPROVER,
            labels={},
            days=1,
            now_utc=stage.now,
        )
        for number in range(3):
            device = f"cam-{number}"
            session.add(
                EventRow(device=device, boot="b", sequence=1, at_utc=stage.now, body={"n": 1})
            )
            session.add(VitalsRow(device=device, received_utc=stage.now, body={}))
            await alerts.open_alert(
                session,
                kind="drift",
                key=device,
                sentence=f"of {device}",
                command="",
                details={"devices": [device, "cam-0"]},
                now=stage.now,
            )
        await alerts.open_alert(
            session,
            kind="trust-renewal",
            key="t",
            sentence="of all",
            command="",
            details={},
            now=stage.now,
        )
    async with httpx.AsyncClient(
        transport=httpx.ASGITransport(people_app(stage.context, "admin's")),
        base_url="http://127.0.0.1",
        headers={"Authorization": f"Bearer {text}"},
    ) as client:
        yield client


async def test_what_is_seen(limited: httpx.AsyncClient) -> None:
    async def values(path: str, name: str) -> list[str]:
        answer = await limited.get(f"/api/v1/{path}")
        assert answer.status_code == 200, answer.text
        return sorted(item[name] for item in answer.json())

    assert await values("devices", "id") == ["cam-0", "cam-1"]
    assert await values("vitals", "device") == ["cam-0", "cam-1"]
    assert await values("events?limit=2", "device") == ["cam-0", "cam-1"]
    assert await values("events?device=cam-2", "device") == []
    assert await values("alerts", "sentence") == ["of cam-0", "of cam-1"]
    for path in ("devices/cam-2", "devices/cam-2/report", "devices/ghost"):
        assert (await limited.get(f"/api/v1/{path}")).json()["code"] == "DEVICE_UNKNOWN"
    assert (await limited.get("/api/v1/figures")).json()["code"] == "SCOPE_MISSING"
    page = (await limited.get("/")).text
    assert "cam-1" in page
    assert "cam-2" not in page
    assert "of all" not in page
    assert (await limited.get("/console/devices/cam-2")).status_code == 404


@pytest.mark.parametrize(
    ("where", "status"),
    [({}, 403), ({"site": "mill"}, 403), ({"ring": "a"}, 403), ({"site": "harbour"}, 201)],
)
async def test_a_rollout_stays_inside(
    limited: httpx.AsyncClient, where: dict[str, str], status: int
) -> None:
    body = {"model": "digits", "release": 1, "policy": {"where": where}}
    answer = await limited.post(ROLLOUTS, json=body)
    assert answer.status_code == status
    if status == 403:
        assert answer.json()["code"] == "SCOPE_MISSING"
        return
    path = f"{ROLLOUTS}/{answer.json()['id']}"
    wider = await limited.put(f"{path}/policy", json={"where": {}})
    assert wider.json()["code"] == "SCOPE_MISSING"
    devices = {place["device"] for place in (await limited.get(path)).json()["devices"]}
    assert devices == {"cam-0", "cam-1"}


async def test_rollouts_of_others_are_not_there(stage: Any, limited: httpx.AsyncClient) -> None:
    everywhere = {"Authorization": "Bearer admin's"}
    body = {"model": "digits", "release": 1}
    made = (await limited.post(ROLLOUTS, json=body, headers=everywhere)).json()
    assert (await limited.get(ROLLOUTS)).json() == []
    path = f"{ROLLOUTS}/{made['id']}"
    for answer in (
        await limited.get(path),
        await limited.post(f"{path}/start"),
        await limited.post(f"{path}/abort"),
        await limited.post(f"{path}/approve", json={"revision": 1}),
        await limited.put(f"{path}/policy", json={"where": {"site": "harbour"}}),
        await limited.get(f"/console/rollouts/{made['id']}"),
    ):
        assert answer.json()["code"] == "NOT_FOUND"


@pytest.mark.parametrize(
    ("device", "labels"),
    [("new", {}), ("new", {"site": "mill"}), ("cam-2", {"site": "harbour"})],
)
async def test_nobody_invites_a_device_away(
    limited: httpx.AsyncClient, device: str, labels: dict[str, str]
) -> None:
    answer = await limited.post(
        "/api/v1/devices/invitations", json={"device": device, "labels": labels}
    )
    assert answer.json()["code"] == "SCOPE_MISSING"


async def test_labels_change_inside_the_scope(limited: httpx.AsyncClient) -> None:
    async def relabel(device: str, **body: Any) -> Any:
        return (await limited.post(f"/api/v1/devices/{device}/labels", json=body)).json()

    before = (await limited.get("/api/v1/devices/cam-1")).json()["labels"]
    assert (await relabel("cam-1", set={"ring": "b"}))["labels"] == {**before, "ring": "b"}
    assert (await relabel("cam-1", remove=["ring", "none"]))["labels"] == before
    for body in ({"set": {"site": "mill"}}, {"remove": ["site"]}):
        assert (await relabel("cam-1", **body))["code"] == "SCOPE_MISSING"
    assert (await relabel("cam-1", set={"Site": "x"}))["code"] == "NAME_INVALID"
    assert (await relabel("cam-2", set={"ring": "b"}))["code"] == "DEVICE_UNKNOWN"
    assert (await limited.get("/api/v1/devices/cam-1")).json()["labels"] == before
