"""A fetch that is not finished: a newer assignment ends it, a budget puts it off."""

from collections.abc import AsyncIterator
from pathlib import Path

import msgspec
import pytest
from tests.agent.app.test_supervisor import DEVICE_KEY, KEY, Board, bundle, ended
from tests.agent.cloud import Cloud

from lamplighter_agent.app.status import describe
from lamplighter_protocol.blobs import describe as describe_blob
from lamplighter_protocol.bundle import Manifest
from lamplighter_protocol.canonical import sha256
from lamplighter_protocol.reported import Reported

FILE = "model.onnx"


@pytest.fixture(name="cloud")
async def _cloud(mosquitto: int) -> AsyncIterator[Cloud]:
    async with Cloud(mosquitto, DEVICE_KEY.public_key(), KEY) as cloud:
        yield cloud


@pytest.fixture
def board(tmp_path: Path, mosquitto: int, cloud: Cloud) -> Board:
    return Board(tmp_path / "data", mosquitto, cloud.repository.root_bytes)


def large(release: int) -> tuple[Manifest, dict[str, bytes]]:
    """A release of a model of 30 chunks."""
    manifest, files = bundle(release, {})
    files[FILE] += b" " * 1_900_000
    blobs = {name: describe_blob(raw) for name, raw in files.items()}
    return msgspec.structs.replace(manifest, files=blobs), files


async def test_a_newer_assignment_ends_the_fetch_between_chunks(board: Board, cloud: Cloud) -> None:
    (first, old), (second, new) = large(1), bundle(2, {})
    raw = [cloud.add(first, old), cloud.add(second, new)]
    partial = board.data / "blobs" / "partial" / sha256(old[FILE])
    async with board.running(fetch_rate_kb_s=200.0):
        cloud.assign(1, (raw[0], first))
        await cloud.until(lambda report: sha256(old[FILE]) in report.wants)
        cloud.assign(2, (raw[1], second))
        report = await cloud.until(ended(2, "committed"))
        assert sha256(old[FILE]) not in report.wants
        assert await board.ask() == 2
        assert not (board.data / "blobs" / "sha256" / sha256(old[FILE])).exists()
    assert not partial.exists(), "nobody wants what came of it"


async def test_a_spent_budget_puts_files_off_and_says_so(board: Board, cloud: Cloud) -> None:
    (first, old), (second, new) = large(1), bundle(2, {})

    def put_off(report: Reported) -> bool:
        return report.problem is not None and report.problem.code == "BUDGET_SPENT"

    async with board.running(fetch_budget_mb=0.3):
        cloud.assign(1, (cloud.add(first, old), first))
        report = await cloud.until(put_off)
        assert report.problem is not None
        assert report.problem.sentence.startswith("0.3 MB a month are spent; files go on 2")
        assert "files of updates are put off until" in describe(board.status())
        # What says what is desired passes: a release that needs no other file is agreed on.
        cloud.assign(2, (cloud.add(second, new), second))
        await cloud.until(ended(2, "fetching"))
    assert (board.data / "spent.json").exists()
    async with board.running():
        await cloud.until(ended(2, "committed"))
