"""Windows in, alerts out: the tick with a real database."""

from datetime import timedelta
from typing import Any

import msgspec
import numpy as np
import pytest

from lamplighter_protocol.binning import count_numeric
from lamplighter_protocol.bundle import Manifest
from lamplighter_protocol.counts import LATENCY_SLOTS, Counts
from lamplighter_server.alerts import service as alerts
from lamplighter_server.drift import service
from lamplighter_server.telemetry.models import WindowRow

DEVICES = {"cam-1": "a", "cam-2": "a", "cam-3": "b", "cam-4": "b", "cam-5": ""}


@pytest.fixture
async def fleet(stage: Any) -> Any:
    for name, site in DEVICES.items():
        await stage.add_device(name, **({"site": site} if site else {}))
    stage.manifest = await stage.add_release("digits", 1)
    stage.sequence = 0
    stage.rng = np.random.default_rng(5)
    return stage


def observe(rng: np.random.Generator, manifest: Manifest, n: int, scale: float) -> Counts:
    ones = int(rng.binomial(n, 0.5))
    return Counts(
        rows=n,
        columns={"level": count_numeric(rng.uniform(0, scale, size=n), manifest.columns[0].edges)},
        predictions=[[0, n - ones], [0, ones]],
        latency=[n] + [0] * (LATENCY_SLOTS - 1),
        errors={},
    )


async def minute(stage: Any, rows: int = 250, **scales: float) -> None:
    """One interval of 60 s: a window of every device, then the tick after it has closed."""
    async with stage.context.database.transaction() as session:
        for name in DEVICES:
            stage.sequence += 1
            counted = observe(
                stage.rng, stage.manifest, rows, scales.get(name.replace("-", "_"), 1)
            )
            session.add(
                WindowRow(
                    device=name,
                    boot="b1",
                    sequence=stage.sequence,
                    model="digits",
                    release=1,
                    variant="onnx-fp32",
                    mode="active",
                    start_utc=stage.now,
                    length_s=60,
                    clock_synchronised=True,
                    received_utc=stage.now + timedelta(seconds=30),
                    counts=msgspec.msgpack.encode(counted),
                )
            )
    stage.later(60)
    stage.later(3)
    await service.tick(stage.context)
    stage.later(-3)


async def open_alerts(stage: Any) -> dict[str, Any]:
    async with stage.context.database.transaction() as session:
        return {alert.key: alert for alert in await alerts.ls(session)}


async def test_nothing_moves_and_nobody_is_woken(fleet: Any) -> None:
    for _ in range(20):
        await minute(fleet)
    assert await open_alerts(fleet) == {}


async def test_one_site_moves_and_is_named_with_its_column_and_beginning(fleet: Any) -> None:
    for _ in range(3):
        await minute(fleet)
    began = fleet.now
    for _ in range(2):
        await minute(fleet, cam_3=0.6, cam_4=0.6)
    found = await open_alerts(fleet)
    assert set(found) == {"drift/digits/1/b"}
    alert = found["drift/digits/1/b"]
    assert alert.command == "lamplighter drift report digits@1 --site b"
    assert "site b" in alert.sentence
    assert "level (lower" in alert.sentence
    details = alert.details
    assert [column["column"] for column in details["columns"]] == ["level"]
    assert details["columns"][0]["direction"] == "lower"
    assert details["columns"][0]["effect"] > 0.2
    assert details["since_utc"] == began.isoformat()
    assert details["devices"] == ["cam-3", "cam-4"]
    assert details["device"] is None
    assert details["site"] == "b"
    assert details["n"] == 500


async def test_one_device_alone_is_named(fleet: Any) -> None:
    for _ in range(2):
        await minute(fleet, rows=400, cam_1=0.4)
    alert = (await open_alerts(fleet))["drift/digits/1/a"]
    assert alert.details["device"] == "cam-1"
    assert "Only device cam-1" in alert.sentence


async def test_the_alert_ends_after_quiet_decisions_and_may_come_again(fleet: Any) -> None:
    await minute(fleet, cam_5=0.5, rows=400)
    assert set(await open_alerts(fleet)) == {"drift/digits/1/-"}
    for _ in range(service.QUIET_DECISIONS):
        assert set(await open_alerts(fleet)) == {"drift/digits/1/-"}
        await minute(fleet, rows=400)
    assert await open_alerts(fleet) == {}
    await minute(fleet, cam_5=0.5, rows=400)
    async with fleet.context.database.transaction() as session:
        assert len(await alerts.ls(session, only_open=False)) == 2


async def test_few_rows_wait_until_they_are_enough(fleet: Any) -> None:
    for _ in range(2):
        await minute(fleet, rows=120, cam_5=0.4)
        assert "drift/digits/1/-" not in await open_alerts(fleet)
    await minute(fleet, rows=120, cam_5=0.4)
    alert = (await open_alerts(fleet))["drift/digits/1/-"]
    assert alert.details["n"] == 360


async def test_a_second_tick_in_the_same_interval_does_nothing(fleet: Any) -> None:
    await minute(fleet, cam_5=0.5, rows=400)
    fleet.later(10)
    async with fleet.context.database.transaction() as session:
        await alerts.resolve(session, "drift/digits/1/-", fleet.now)
    await service.tick(fleet.context)
    assert await open_alerts(fleet) == {}


async def test_late_windows_are_judged_when_they_arrive(fleet: Any) -> None:
    await minute(fleet)
    fleet.later(-3600)  # a device was offline for an hour: its windows start long before
    start = fleet.now
    fleet.later(3600)
    async with fleet.context.database.transaction() as session:
        session.add(
            WindowRow(
                device="cam-5",
                boot="b1",
                sequence=10_000,
                model="digits",
                release=1,
                variant="onnx-fp32",
                mode="active",
                start_utc=start,
                length_s=60,
                clock_synchronised=True,
                received_utc=fleet.now,
                counts=msgspec.msgpack.encode(observe(fleet.rng, fleet.manifest, 400, 0.4)),
            )
        )
    fleet.later(63)
    await service.tick(fleet.context)
    assert set(await open_alerts(fleet)) == {"drift/digits/1/-"}


async def test_the_report_shows_every_site_and_changes_nothing(fleet: Any) -> None:
    await minute(fleet, cam_3=0.5, cam_4=0.5)
    async with fleet.context.database.transaction() as session:
        places = await service.report(fleet.context, session, model="digits", release=1)
    assert [place.site for place in places] == ["-", "a", "b"]
    assert places[2].columns[0].column == "level"
    assert places[2].columns[0].effect > 0.3
    assert max(column.effect for column in places[1].columns) < 0.1
