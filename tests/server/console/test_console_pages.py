from collections.abc import Awaitable, Callable
from html.parser import HTMLParser
from typing import Any

import httpx
import pytest

from lamplighter_protocol.bundle import encode_manifest
from lamplighter_protocol.canonical import sha256
from lamplighter_protocol.reported import Failure
from lamplighter_server.alerts import service as alerts
from lamplighter_server.releases import service as releases
from lamplighter_server.rollouts import controller
from lamplighter_server.rollouts import service as rollouts
from lamplighter_server.rollouts.policy import read_policy

HOSTILE = """<script>alert('1')</script>"><img src=x onerror="alert(2)">{{ 7 * 7 }}"""


class Elements(HTMLParser):
    """All elements with their attributes, and all ids."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))

    @property
    def ids(self) -> list[str | None]:
        return [attributes["id"] for _, attributes in self.found if "id" in attributes]


def check_clean(html: str) -> Elements:
    """Nothing in the page that the policy forbids, nothing from elsewhere, no id twice."""
    elements = Elements(html)
    for tag, attributes in elements.found:
        assert tag not in {"style", "img", "iframe", "object", "base"}
        assert not any(name.startswith("on") or name == "style" for name in attributes)
        for name in ("src", "href", "action"):
            address = attributes.get(name) or "/"
            assert address.startswith(("/", "#")), address
            assert not address.startswith("//")
        if tag == "script":
            assert attributes["src"] == "/console/static/console.js"
    assert len(elements.ids) == len(set(elements.ids))
    return elements


async def start_rollout(stage: Any, release: int) -> str:
    async with stage.context.database.transaction() as session:
        policy = read_policy({"waves": ["1", "100%"]})
        row = await rollouts.create(
            *(stage.context, session, stage.admin), model="digits", release=release, policy=policy
        )
        await rollouts.start(stage.context, session, stage.admin, row.id)
    await controller.tick(stage.context)
    return row.id


async def test_an_empty_fleet_says_how_to_begin(people: httpx.AsyncClient) -> None:
    page = await people.get("/")
    assert page.status_code == 200
    check_clean(page.text)
    assert "No device is enrolled yet" in page.text
    assert 'data-copy="lamplighter device invite camera-1' in page.text


async def test_two_hundred_devices_are_grouped_by_site(
    people: httpx.AsyncClient, add_fleet: Callable[[int], Awaitable[None]]
) -> None:
    await add_fleet(200)
    page = await people.get("/")
    elements = check_clean(page.text)
    rows = [attributes for _, attributes in elements.found if "data-device" in attributes]
    assert len(rows) == 200
    assert sum("online" in (row["data-search"] or "").split() for row in rows) == 171
    assert page.text.count('<section class="site">') == 5


async def test_a_rollout_an_alert_and_a_failure_are_told(
    stage: Any,
    people: httpx.AsyncClient,
    add_window: Callable[..., Awaitable[None]],
) -> None:
    for number in range(3):
        await stage.add_device(f"cam-{number}", site="mill")
    await stage.add_release("digits", 1)
    await add_window("cam-0", fine=90, worn=30)
    rollout = await start_rollout(stage, 1)
    (canary,) = [name for name in stage.boards if await stage.desired(name)]
    cause = Failure(code="GOLDEN_MISMATCH", sentence="Row 3 differs.")
    await stage.report(canary, tried=1, phase="rolled-back", failure=cause)
    await controller.tick(stage.context)
    async with stage.context.database.transaction() as session:
        await alerts.open_alert(
            session,
            kind="drift",
            key="drift/digits/1/mill",
            sentence="At site mill, level has moved.",
            command="lamplighter drift report digits@1 --site mill",
            details={
                "site": "mill",
                "model": "digits",
                "release": 1,
                "columns": [{"column": "level"}],
                "since_utc": "2026-05-01T11:00:00+00:00",
            },
            now=stage.now,
        )
    page = (await people.get("/")).text
    check_clean(page)
    assert "2 open alerts" in page
    assert f"lamplighter rollout status {rollout}" in page
    assert 'datetime="2026-05-01T11:00:00Z"' in page
    assert "level, low to high: 120 rows" in page
    assert "predictions: 120 rows, 0.25 from the reference" in page
    assert "rolled back: GOLDEN_MISMATCH: Row 3 differs." in page
    assert "is told to run again what it ran before" in page
    details = (await people.get(f"/console/devices/{canary}")).text
    check_clean(details)
    assert "0.250 s" in details


async def test_a_board_that_waits_says_why(stage: Any, people: httpx.AsyncClient) -> None:
    await stage.add_device("cam-1")
    busy = Failure(code="WAITS_FOR_WORKLOAD", sentence=f"An application asks to wait. {HOSTILE}")
    await stage.report("cam-1", waits=busy)
    page = (await people.get("/")).text
    check_clean(page)
    assert "<b>WAITS_FOR_WORKLOAD</b> An application asks to wait." in page


async def test_a_release_shows_what_it_is_called(stage: Any, people: httpx.AsyncClient) -> None:
    await stage.add_release("digits", 1)
    await people.put("/api/v1/models/digits/aliases/champion", json={"release": 1})
    page = (await people.get("/")).text
    check_clean(page)
    assert 'digits 1 <span class="badge">champion</span>' in page


async def test_hostile_texts_stay_texts(stage: Any, people: httpx.AsyncClient) -> None:
    await stage.add_device("cam-1", site=HOSTILE, note=HOSTILE)
    await stage.add_release("digits", 1)
    async with stage.context.database.transaction() as session:
        release = await releases.get(session, "digits", 1)
        release.evidence = {"variants": {HOSTILE: {"accuracy": HOSTILE, "size_bytes": None}}}
        await alerts.open_alert(
            session,
            kind=HOSTILE,
            key="k",
            sentence=HOSTILE,
            command=HOSTILE,
            details={},
            now=stage.now,
        )
    await start_rollout(stage, 1)
    failure = Failure(code=HOSTILE, sentence=HOSTILE)
    await stage.report("cam-1", tried=1, phase="failed", failure=failure)
    await controller.tick(stage.context)
    for address in ("/", "/console/devices/cam-1"):
        text = (await people.get(address)).text
        check_clean(text)
        assert "<script>alert" not in text
    page = (await people.get("/")).text
    assert "&lt;script&gt;alert" in page
    assert "{{ 7 * 7 }}" in page


@pytest.mark.parametrize("accuracy", [None, "good", [1], {}])
async def test_evidence_of_another_form_is_not_measured(
    stage: Any, people: httpx.AsyncClient, accuracy: object
) -> None:
    await stage.add_release("digits", 1)
    async with stage.context.database.transaction() as session:
        release = await releases.get(session, "digits", 1)
        release.evidence = {"variants": {"onnx": {"accuracy": accuracy}, "other": []}}
    assert "not measured" in (await people.get("/")).text


async def test_windows_whose_bundle_is_lost_do_not_take_the_page_away(
    stage: Any, people: httpx.AsyncClient, add_window: Callable[..., Awaitable[None]]
) -> None:
    await stage.add_device("cam-1", site="mill")
    manifest = await stage.add_release("digits", 1)
    await add_window("cam-1", fine=90, worn=30)
    stage.context.objects.path(sha256(encode_manifest(manifest))).unlink()
    page = await people.get("/")
    assert page.status_code == 200
    assert "cam-1" in page.text
    assert "120 rows" not in page.text


@pytest.mark.parametrize("path", ["/", "/console/static/console.js", "/console/static/console.css"])
async def test_security_headers(people: httpx.AsyncClient, path: str) -> None:
    answer = await people.get(path)
    policy = answer.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "frame-ancestors 'none'" in policy
    assert "unsafe" not in policy
    assert "http" not in policy
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["referrer-policy"] == "same-origin"
    assert answer.headers["cache-control"] in {"no-store", "no-cache"}


async def test_the_details_of_an_unknown_device_are_an_error(people: httpx.AsyncClient) -> None:
    answer = await people.get("/console/devices/nobody")
    assert (answer.status_code, answer.json()["code"]) == (404, "DEVICE_UNKNOWN")


async def test_the_audit_page_lists_filters_and_escapes(
    stage: Any, people: httpx.AsyncClient
) -> None:
    for name in ("cam-1", "cam-2"):
        await stage.add_device(name, site="<b>mill</b>")
    everything = (await people.get("/console/audit")).text
    assert "device/cam-1" in everything
    assert "device/cam-2" in everything
    assert "<b>mill" not in everything
    assert "&lt;b&gt;mill" in everything
    assert '<a href="/console/audit" aria-current="page">Audit</a>' in everything
    chosen = (await people.get("/console/audit", params={"subject": "cam-1"})).text
    assert "device/cam-1" in chosen
    assert "device/cam-2" not in chosen
    nothing = await people.get("/console/audit", params={"actor": '"><script>'})
    assert "No line of the log fits." in nothing.text
    assert "<script>" not in nothing.text
    assert "script-src 'self'" in nothing.headers["content-security-policy"]
    earlier = (await people.get("/console/audit", params={"before": 2})).text
    assert "device/cam-1" not in earlier
    assert (await people.get("/console/audit", params={"before": 0})).status_code == 422
