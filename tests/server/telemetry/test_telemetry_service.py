"""Sealed messages into a real database: stored once, acknowledged, merged exactly."""

from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import numpy as np
import pytest
from sqlalchemy import select

from lamplighter_protocol.counts import Counts
from lamplighter_protocol.errors import LamplighterError
from lamplighter_protocol.telemetry import Ack, Event, Stream, Vitals, Window, seal, unseal
from lamplighter_server.outbox.models import OutboxRow
from lamplighter_server.telemetry import service
from lamplighter_server.telemetry.selection import Selection

DAY_0 = datetime(1970, 1, 1, tzinfo=UTC)


@pytest.fixture
async def site(stage: Any) -> Any:
    await stage.add_device("cam-1", site="a")
    await stage.add_device("cam-2", site="b")
    await stage.add_release("digits", 1)
    return stage


def counts(rng: np.random.Generator) -> Counts:
    slots = [int(count) for count in rng.integers(20, size=11)]
    n = sum(slots)
    fine = int(rng.integers(n + 1))
    return Counts(
        rows=n,
        columns={"level": slots},
        predictions=[[0, fine], [0, n - fine]],
        latency=[0] * 12 + [n] + [0] * 17,
        errors={"WORKER_HUNG": int(rng.integers(3))},
    )


def window(body: Counts, start: datetime, **changes: Any) -> Window:
    made = Window(
        model="digits",
        release=1,
        variant="onnx-fp32",
        mode="active",
        start_utc=start,
        length_s=10,
        clock_synchronised=True,
        counts=body,
    )
    return msgspec.structs.replace(made, **changes)


async def send(
    stage: Any,
    message: Any,
    sequence: int,
    *,
    device: str = "cam-1",
    stream: Stream = "window",
    oldest: int = 0,
    boot: str = "b1",
    key: bytes | None = None,
) -> None:
    board = stage.boards[device]
    raw = seal(
        message,
        key=key or board.telemetry_key,
        device=device,
        stream=stream,
        boot=boot,
        sequence=sequence,
        oldest=oldest,
    )
    await hand_in(stage, raw, device=device, stream=stream)


async def hand_in(stage: Any, raw: bytes, *, device: str = "cam-1", stream: Stream) -> None:
    async with stage.context.database.transaction() as session:
        await service.accept(
            stage.context,
            session,
            device=device,
            stream=stream,
            raw=raw,
            telemetry_key=stage.boards[device].telemetry_key,
            now_utc=stage.now,
        )


async def acks(stage: Any, device: str = "cam-1") -> list[dict[str, int]]:
    topic = stage.context.topics.device(device, "ack")
    key = stage.boards[device].telemetry_key
    async with stage.context.database.transaction() as session:
        rows = await session.scalars(
            select(OutboxRow).where(OutboxRow.topic == topic).order_by(OutboxRow.id)
        )
        return [
            unseal(r.payload, Ack, key=key, device=device, stream="ack")[1].stored for r in rows
        ]


async def merged(stage: Any, **where: str) -> Counts:
    async with stage.context.database.transaction() as session:
        return await service.merged(stage.context, session, model="digits", release=1, where=where)


async def stored(stage: Any) -> list[Any]:
    async with stage.context.database.transaction() as session:
        return list(await service.windows(session, Selection()))


async def test_duplicate_late_and_disordered_deliveries_never_change_a_total(site: Any) -> None:
    rng = np.random.default_rng(1)
    sent = {device: [counts(rng) for _ in range(12)] for device in ("cam-1", "cam-2")}
    deliveries = [
        (device, i) for device in sent for i in range(12) for _ in range(int(rng.integers(1, 4)))
    ]
    for position in rng.permutation(len(deliveries)):
        device, i = deliveries[position]
        site.later(int(rng.integers(100)))
        start = site.now.replace(hour=0, minute=0, second=0) + timedelta(seconds=10 * i)
        await send(site, window(sent[device][i], start), i, device=device)
    for device, place in (("cam-1", "a"), ("cam-2", "b")):
        total = sent[device][0]
        for item in sent[device][1:]:
            total = total.merge(item)
        assert await merged(site, site=place) == total
        assert (await acks(site, device))[-1] == {"window": 11}
    everything = (await merged(site, site="a")).merge(await merged(site, site="b"))
    assert await merged(site) == everything
    assert len(await stored(site)) == 24


async def test_a_gap_is_acknowledged_only_up_to_it(site: Any) -> None:
    body = counts(np.random.default_rng(2))
    for sequence in (0, 2, 3):
        await send(site, window(body, site.now), sequence)
    assert await acks(site) == [{"window": 0}] * 3
    await send(site, window(body, site.now), 1)
    assert (await acks(site))[-1] == {"window": 3}
    await send(site, window(body, site.now), 9, oldest=7)
    assert (await acks(site))[-1] == {"window": 6}
    assert len(await stored(site)) == 5


async def test_the_first_message_of_a_device_that_lost_some_is_acknowledged(site: Any) -> None:
    await send(site, window(counts(np.random.default_rng(3)), site.now), 41, oldest=41)
    assert await acks(site) == [{"window": 41}]


async def test_a_message_that_fits_nothing_is_counted_and_does_not_block(site: Any) -> None:
    body = counts(np.random.default_rng(4))
    bent = msgspec.structs.replace(body, columns={"level": [1, 2]})
    await send(site, window(bent, site.now), 0)
    await send(site, window(body, site.now, release=7), 1)
    await send(site, Ack(stored={}), 2)
    await send(site, window(body, site.now), 3)
    assert site.context.figures.refused == {"MESSAGE_MALFORMED": 2, "NOT_FOUND": 1}
    assert (await acks(site))[-1] == {"window": 3}
    assert await merged(site) == body


async def test_what_does_not_prove_its_sender_is_refused_and_not_acknowledged(site: Any) -> None:
    body = counts(np.random.default_rng(5))
    with pytest.raises(LamplighterError, match="MESSAGE_FORGED"):
        await send(site, window(body, site.now), 0, key=b"x" * 32)
    for raw in (b"", b"\x93", b"\xc1" * 50, b"\x00" * 200_000):
        with pytest.raises(LamplighterError, match="MESSAGE_"):
            await hand_in(site, raw, stream="window")
    assert await acks(site) == []
    assert await stored(site) == []


async def test_a_window_of_a_wrong_clock_is_filed_on_receipt(site: Any) -> None:
    body = counts(np.random.default_rng(6))
    await send(site, window(body, DAY_0, clock_synchronised=False), 0)
    await send(site, window(body, site.now + timedelta(days=400)), 1)
    await send(site, window(body, site.now - timedelta(days=40)), 2)
    found = {row.sequence: row for row in await stored(site)}
    for sequence in (0, 1):
        assert site.now - timedelta(seconds=10) < found[sequence].start_utc <= site.now
        assert not found[sequence].clock_synchronised
    assert found[2].start_utc == site.now - timedelta(days=40)


async def test_shadow_windows_stay_out_of_the_totals(site: Any) -> None:
    await send(site, window(counts(np.random.default_rng(7)), site.now, mode="shadow"), 0)
    assert (await merged(site)).rows == 0


async def test_a_device_that_enrols_anew_counts_from_the_beginning(site: Any) -> None:
    body = counts(np.random.default_rng(8))
    for sequence in range(3):
        await send(site, window(body, site.now), sequence)
    site.boards["cam-1"].telemetry_key = b"n" * 32
    for sequence in range(2):
        await send(site, window(body, site.now), sequence, boot="b2")
    assert len(await stored(site)) == 5


def vitals(at: datetime, cpu: float) -> Vitals:
    return Vitals(
        at_utc=at,
        cpu_percent=cpu,
        memory_used_mb=100.0,
        disk_free_mb=1000.0,
        temperature_c=float("nan"),
        uptime_s=5.0,
        supervisor_rss_mb=30.0,
        worker_rss_mb={"digits": 50.0},
        dropped={},
    )


async def test_only_the_newest_vitals_stay(site: Any) -> None:
    for sequence in (0, 2, 1, 2):
        await send(site, vitals(site.now, float(sequence)), sequence, stream="vitals")
    async with site.context.database.transaction() as session:
        (row,) = await service.vitals(session)
    assert row.body["cpu_percent"] == 2.0
    assert row.body["temperature_c"] is None
    assert (await acks(site))[-1] == {"vitals": 2}


async def test_events_are_listed_newest_first(site: Any) -> None:
    for sequence, minutes in enumerate((1, 3, 2, 10_000)):
        at = site.now - timedelta(minutes=5 - minutes)
        await send(site, Event(at_utc=at, kind="phase", phase="fetching"), sequence, stream="event")
    async with site.context.database.transaction() as session:
        assert [row.sequence for row in await service.events(session)] == [3, 1, 2, 0]
        assert len(await service.events(session, devices=["cam-2"])) == 0
        recent = await service.events(session, since=site.now - timedelta(minutes=3), limit=5)
        assert [row.sequence for row in recent] == [3, 1, 2]
