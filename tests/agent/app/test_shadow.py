"""Releases in shadow on a device: beside the active one, never in its place."""

import asyncio
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
from tests.agent.app.test_supervisor import DEVICE_KEY, KEY, Board, bundle, commit, ended, model
from tests.agent.cloud import Cloud

from lamplighter_agent.app import shadow
from lamplighter_protocol.reported import Attempt, Reported, ran_in_shadow


@pytest.fixture(name="cloud")
async def _cloud(mosquitto: int) -> AsyncIterator[Cloud]:
    async with Cloud(mosquitto, DEVICE_KEY.public_key(), KEY) as cloud:
        yield cloud


@pytest.fixture
def board(tmp_path: Path, mosquitto: int, cloud: Cloud) -> Board:
    return Board(tmp_path / "data", mosquitto, cloud.repository.root_bytes)


def attempt(report: Reported) -> Attempt:
    found = model(report)
    assert found is not None
    assert found.attempt is not None
    return found.attempt


def attempts(report: Reported) -> list[Attempt | None]:
    return [item.attempt for item in report.models]


def is_found_good(release: int) -> Callable[[Reported], bool]:
    return lambda report: ran_in_shadow(report, "digits", release) is not None


async def test_a_release_runs_in_shadow_is_counted_and_promoted(board: Board, cloud: Cloud) -> None:
    async with board.running():
        first = await commit(board, cloud, 1)
        manifest, files = bundle(2, {"compared": 40, "disagreed": 3})
        second = (cloud.add(manifest, files), manifest)
        cloud.assign(2, first, shadow=second)
        report = await cloud.until(is_found_good(2))
        found = attempt(report).shadow
        assert found is not None
        assert (found.compared, found.disagreed, found.missed) == (40, 3, 0)
        assert found.seconds >= manifest.health.probation_s
        assert await board.ask() == 1
        active = model(report)
        assert active is not None
        assert active.active is not None
        assert (active.active.release, active.active.committed) == (1, True)
        await cloud.until_telemetry(
            lambda told: any(
                (window.release, window.mode) == (2, "shadow") for window in told["window"].values()
            )
        )
        cloud.assign(3, second)
        await cloud.until(ended(2, "committed"))
        assert await board.ask() == 2
    modes = {(item.release, item.mode) for item in cloud.telemetry["window"].values()}
    assert {(1, "active"), (2, "shadow")} <= modes
    assert (1, "shadow") not in modes


@pytest.mark.parametrize(
    ("plan", "code"),
    [
        ({"crash_in_shadow": True}, "WORKER_CRASHED"),
        ({"rss_mb": 900.0}, "MEMORY_OVER_BUDGET"),
        ({"errors": {"BOOM": 30}}, "ERRORS_OVER_BUDGET"),
    ],
)
async def test_a_bad_shadow_ends_and_nothing_else_does(
    board: Board, cloud: Cloud, plan: dict[str, Any], code: str
) -> None:
    async with board.running():
        first = await commit(board, cloud, 1)
        pid = board.status().serve["digits"].worker_pid
        manifest, files = bundle(2, plan)
        cloud.assign(2, first, shadow=(cloud.add(manifest, files), manifest))
        report = await cloud.until(ended(2, "failed"))
        failure = attempt(report).failure
        assert failure is not None
        assert failure.code == code
        assert await board.ask() == 1
        assert board.status().serve["digits"].worker_pid == pid
        cloud.assign(3, first)  # the generation in which it failed is over; release 1 is there
        await cloud.until(lambda report: report.generation is not None)
        assert await board.ask() == 1


async def test_without_memory_to_spare_nothing_runs_in_shadow(
    board: Board, cloud: Cloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with board.running():
        first = await commit(board, cloud, 1)
        manifest, files = bundle(2, {}, memory_budget_mb=2.0**40)
        second = cloud.add(manifest, files), manifest
        cloud.assign(2, first, shadow=second)
        failure = attempt(await cloud.until(ended(2, "failed"))).failure
        assert failure is not None
        assert failure.code == "SHADOW_NO_ROOM"
        manifest, files = bundle(3, {})
        cloud.assign(3, first, shadow=(cloud.add(manifest, files), manifest))
        await cloud.until(is_found_good(3))
        monkeypatch.setattr(shadow, "SPARE_MB", 2.0**40)  # the board runs short of it
        failure = attempt(await cloud.until(ended(3, "failed"))).failure
        assert failure is not None
        assert failure.code == "SHADOW_NO_ROOM"
        assert await board.ask() == 1


async def test_a_shadow_comes_back_after_a_restart_and_goes_when_it_is_not_wanted(
    board: Board, cloud: Cloud
) -> None:
    manifest, files = bundle(2, {})
    async with board.running():
        first = await commit(board, cloud, 1)
        second = cloud.add(manifest, files), manifest
        cloud.assign(2, first, shadow=second)
        await cloud.until(is_found_good(2))
    async with board.running():
        seen = len(cloud.reports)
        while not any(ended(2, "shadowing")(report) for report in cloud.reports[seen:]):
            await asyncio.sleep(0.05)
        assert await board.ask() == 1
        cloud.assign(3, first)
        await cloud.until(lambda report: attempts(report) == [None])
        assert await board.ask() == 1
