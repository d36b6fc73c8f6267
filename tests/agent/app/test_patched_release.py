"""A release whose files are on offer as patches: little travels, and a bad patch costs nothing."""

from collections.abc import AsyncIterator
from datetime import datetime, timezone
from pathlib import Path

import msgspec
import pytest
from tests.agent.app.test_supervisor import DEVICE_KEY, KEY, Board, bundle, ended
from tests.agent.cloud import Cloud

from lamplighter_agent.app.transfers import plan_transfers
from lamplighter_protocol.assignment import PATCHES, AssignedModel, PatchKind, Transfer
from lamplighter_protocol.blobs import describe
from lamplighter_protocol.bundle import Manifest
from lamplighter_protocol.canonical import sha256
from lamplighter_protocol.patches import make
from lamplighter_protocol.reported import Reported

FILE = "model.onnx"


@pytest.fixture(name="cloud")
async def _cloud(mosquitto: int) -> AsyncIterator[Cloud]:
    async with Cloud(mosquitto, DEVICE_KEY.public_key(), KEY) as cloud:
        yield cloud


@pytest.fixture
def board(tmp_path: Path, mosquitto: int, cloud: Cloud) -> Board:
    return Board(tmp_path / "data", mosquitto, cloud.repository.root_bytes)


def releases() -> list[tuple[Manifest, dict[str, bytes]]]:
    return [bundle(1, {}), bundle(2, {})]


async def run(cloud: Cloud, release: int, raw: bytes, manifest: Manifest) -> Reported:
    cloud.assign(release, (raw, manifest))
    return await cloud.until(ended(release, "committed"))


@pytest.mark.parametrize("kind", PATCHES)
async def test_only_the_patch_travels(board: Board, cloud: Cloud, kind: PatchKind) -> None:
    (first, old), (second, new) = releases()
    raw = [cloud.add(first, old), cloud.add(second, new)]
    base = b"" if kind == "zstd" else old[FILE]
    patch = make(kind, new[FILE], base)
    name = cloud.offer_patch(raw[1], kind, new[FILE], base, patch)
    async with board.running():
        await run(cloud, 1, raw[0], first)
        report = await run(cloud, 2, raw[1], second)
        assert await board.ask() == 2
    assert set(PATCHES) <= set(report.inventory.transfers)
    assert name in cloud.brought
    assert sha256(new[FILE]) not in cloud.brought
    assert report.problem is None


@pytest.mark.parametrize("how", ["rubbish", "cut", "of another file", "makes another file"])
async def test_whatever_a_patch_does_wrong_the_file_comes_whole(
    board: Board, cloud: Cloud, how: str
) -> None:
    (first, old), (second, new) = releases()
    raw = [cloud.add(first, old), cloud.add(second, new)]
    patch = {
        "rubbish": b"rubbish" * 100,
        "cut": make("zstd-prefix", new[FILE], old[FILE])[:-3],
        "of another file": make("zstd-prefix", new[FILE], old[FILE][::-1]),
        "makes another file": make("zstd-prefix", new[FILE][::-1], old[FILE]),
    }[how]
    cloud.offer_patch(raw[1], "zstd-prefix", new[FILE], old[FILE], patch)
    async with board.running():
        await run(cloud, 1, raw[0], first)
        await run(cloud, 2, raw[1], second)
        assert await board.ask() == 2
    assert sha256(new[FILE]) in cloud.brought
    assert "PATCH_REFUSED" in cloud.problems


async def test_a_patch_that_nobody_brings_is_not_waited_for_long(
    board: Board, cloud: Cloud
) -> None:
    (first, old), (second, new) = releases()
    raw = [cloud.add(first, old), cloud.add(second, new)]
    patch = make("zstd-prefix", new[FILE], old[FILE])
    cloud.withheld.add(cloud.offer_patch(raw[1], "zstd-prefix", new[FILE], old[FILE], patch))
    async with board.running():
        await run(cloud, 1, raw[0], first)
        await run(cloud, 2, raw[1], second)
    assert "FETCH_STALLED" in cloud.problems


async def test_a_damaged_base_is_no_base(board: Board, cloud: Cloud) -> None:
    (first, old), (second, new) = releases()
    raw = [cloud.add(first, old), cloud.add(second, new)]
    cloud.offer_patch(
        raw[1], "zstd-prefix", new[FILE], old[FILE], make("zstd-prefix", new[FILE], old[FILE])
    )
    async with board.running():
        await run(cloud, 1, raw[0], first)
        stored = board.data / "blobs" / "sha256" / sha256(old[FILE])
        stored.write_bytes(old[FILE][:-1] + b"!")
        await run(cloud, 2, raw[1], second)
        assert await board.ask() == 2


def offered(**changed: object) -> tuple[AssignedModel, bytes]:
    new, patch = b"n" * 70_000, b"p" * 100
    wire = describe(patch)
    transfer = Transfer(
        kind="zstd-prefix",
        sha256=sha256(new),
        wire_sha256=wire.sha256,
        wire_size_bytes=wire.size_bytes,
        chunk_sha256=wire.chunk_sha256,
        base_sha256="b" * 64,
    )
    manifest, _ = bundle(1, {})
    now = datetime.now(timezone.utc)
    assigned = AssignedModel(
        model="digits",
        release=2,
        manifest=describe(b"m"),
        variant=manifest.variants[0].name,
        not_before_utc=now,
        deadline_utc=now,
        transfers=(msgspec.structs.replace(transfer, **changed),),
    )
    return assigned, new


@pytest.mark.parametrize(
    ("changed", "has_base", "patched"),
    [
        ({}, True, True),
        ({}, False, False),
        ({"base_sha256": None}, False, True),
        ({"chunk_sha256": ()}, True, False),
        ({"wire_size_bytes": 2**40}, True, False),
    ],
)
def test_a_patch_is_taken_where_it_can_be_right(
    board: Board, changed: dict[str, object], has_base: bool, patched: bool
) -> None:
    assigned, new = offered(**changed)
    (planned,) = plan_transfers([describe(new)], assigned, board.identity, lambda _: has_base)
    assert (planned.patch is not None) == patched
    assert (planned.wire_sha256, planned.cipher) == (sha256(new), None)
    assert planned.blob.sha256 in planned.touches
    assert ("b" * 64 in planned.touches) == (patched and "base_sha256" not in changed)
