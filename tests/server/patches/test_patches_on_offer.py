import random
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import msgspec
import pytest
from sqlalchemy import select

from lamplighter_protocol import patches as codec
from lamplighter_protocol.assignment import ENCRYPTED, PATCHES, Transfer
from lamplighter_protocol.blobs import describe
from lamplighter_protocol.bundle import encode_manifest
from lamplighter_protocol.canonical import sha256
from lamplighter_server.assignments import service as assignments
from lamplighter_server.blobs import service as blobs
from lamplighter_server.confidential import service as confidential
from lamplighter_server.devices import service as devices
from lamplighter_server.patches import making
from lamplighter_server.patches.models import Patch
from lamplighter_server.releases.models import Release

MODEL = {number: bytes(random.Random(number).choices(range(64), k=40_000)) for number in (1, 2)}
MODEL[3] = MODEL[2][:30_000] + b"retrained" + MODEL[2][30_000:]


async def put(stage: Any, raw: bytes) -> None:
    async def parts() -> AsyncIterator[bytes]:
        yield raw

    await stage.context.objects.put(sha256(raw), parts())


async def add_release(stage: Any, number: int) -> None:
    """As stage.add_release, with a model file that is worth a patch."""
    manifest = await stage.add_release("digits", number)
    golden = f"digits {number} golden.npz".encode()
    files = {"model.onnx": MODEL[number], "golden.npz": golden}
    manifest = msgspec.structs.replace(
        manifest, files={name: describe(raw) for name, raw in files.items()}
    )
    for raw in (*files.values(), encode_manifest(manifest)):
        await put(stage, raw)
    async with stage.context.database.transaction() as session:
        query = select(Release).where(Release.number == number)
        row = (await session.scalars(query)).one()
        row.manifest_sha256 = sha256(encode_manifest(manifest))


async def make_all(stage: Any) -> None:
    for _ in MODEL:
        await making.tick(stage.context)


async def offered(stage: Any, device: str, release: int = 3) -> tuple[Transfer, ...]:
    async with stage.context.database.transaction() as session:
        await assignments.want(
            session,
            device=device,
            model="digits",
            release=release,
            variant="onnx-fp32",
            rollout=None,
            deadline_utc=stage.now + timedelta(days=1),
        )
        await assignments.issue(stage.context, session, [device], stage.now)
    desired = await stage.desired(device)
    return desired.models[0].transfers  # type: ignore[no-any-return]


@pytest.fixture
async def fleet(stage: Any) -> Any:
    """Three releases; one device runs the second, one nothing, one has an old agent."""
    for number in MODEL:
        await add_release(stage, number)
    for name, forms in (("runs-2", PATCHES), ("fresh", PATCHES), ("old-agent", (ENCRYPTED,))):
        await stage.add_device(name)
        if name == "runs-2":
            await stage.report(name, committed=2)
        async with stage.context.database.transaction() as session:
            device = await devices.get(session, name)
            device.inventory = {**device.inventory, "transfers": list(forms)}
    return stage


async def test_each_device_is_offered_the_smallest_patch_for_what_it_runs(fleet: Any) -> None:
    await make_all(fleet)
    (small,) = await offered(fleet, "runs-2")
    assert (small.kind, small.base_sha256) == ("zstd-prefix", sha256(MODEL[2]))
    patch = fleet.context.objects.read(small.wire_sha256)
    assert describe(patch).chunk_sha256 == small.chunk_sha256
    made = b"".join(codec.apply("zstd-prefix", patch, MODEL[2], len(MODEL[3])))
    assert made == MODEL[3]
    (whole,) = await offered(fleet, "fresh")
    assert (whole.kind, whole.base_sha256) == ("zstd", None)
    assert small.wire_size_bytes * 10 < whole.wire_size_bytes < len(MODEL[3])
    assert await offered(fleet, "old-agent") == ()


async def test_what_is_not_made_yet_travels_whole(fleet: Any) -> None:
    assert await offered(fleet, "runs-2") == ()
    await making.tick(fleet.context)
    (newest,) = await offered(fleet, "runs-2")
    assert newest.base_sha256 == sha256(MODEL[2])
    assert await offered(fleet, "runs-2", release=1) == (), "older releases wait for their turn"


async def test_patches_are_made_once(fleet: Any) -> None:
    await make_all(fleet)
    async with fleet.context.database.transaction() as session:
        before = {row.wire_sha256 for row in await session.scalars(select(Patch))}
        for row in await session.scalars(select(Patch)):
            await session.delete(row)
    await make_all(fleet)
    async with fleet.context.database.reading() as session:
        assert (await session.scalars(select(Patch))).all() == []
    assert len(before) == 4, "each by itself, and 3 from 2"


async def test_nothing_of_a_confidential_model_travels_as_a_patch(fleet: Any) -> None:
    await make_all(fleet)
    (patch,) = await offered(fleet, "runs-2")
    async with fleet.context.database.transaction() as session:
        await blobs.want(session, [patch.wire_sha256], "device:runs-2", fleet.now)
        assert await blobs.published(session) == [patch.wire_sha256]
    async with fleet.context.database.transaction() as session:
        await confidential.protect(fleet.context, session, "digits")
        await blobs.reconcile(session, fleet.now)
        assert await blobs.published(session) == []
    assert {item.kind for item in await offered(fleet, "runs-2")} == {ENCRYPTED}
