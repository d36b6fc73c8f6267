import logging
from collections.abc import AsyncIterator
from typing import Any

import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from sqlalchemy import select

from lamplighter_protocol.assignment import ENCRYPTED, AssignedModel
from lamplighter_protocol.canonical import sha256
from lamplighter_protocol.errors import LamplighterError
from lamplighter_protocol.reported import Inventory
from lamplighter_protocol.sealed import ChunkCipher, Recipient, unwrap_key
from lamplighter_server.assignments import service as assignments
from lamplighter_server.audit.models import AuditLine
from lamplighter_server.blobs import service as blobs
from lamplighter_server.confidential import service as confidential
from lamplighter_server.confidential.models import ReleaseKey
from lamplighter_server.devices import service as devices
from lamplighter_server.releases import service as releases

KEY = X25519PrivateKey.generate()
INVENTORY = Inventory(
    machine="aarch64",
    runtimes={"onnxruntime": "1.23.2"},
    ram_mb=1,
    python="3.11",
    agent_version="0.2.0",
    system="linux",
    transfers=(ENCRYPTED,),
)


@pytest.fixture
async def server(stage: Any) -> Any:
    """Two releases with their files, and a device that can open sealed ones."""
    for number in (1, 2):
        manifest = await stage.add_release("digits", number)
        for name in manifest.files:
            await put(stage, f"digits {number} {name}".encode())
    await stage.add_device("cam-1")
    async with stage.context.database.transaction() as session:
        device = await devices.get(session, "cam-1")
        device.agreement_public = KEY.public_key().public_bytes_raw()
        device.inventory = msgspec.to_builtins(INVENTORY)
    return stage


async def put(stage: Any, content: bytes) -> None:
    async def parts() -> AsyncIterator[bytes]:
        yield content

    await stage.context.objects.put(sha256(content), parts())


async def protect(stage: Any) -> None:
    async with stage.context.database.transaction() as session:
        await confidential.protect(stage.context, session, "digits")
        await blobs.reconcile(session, stage.now)


async def assign(stage: Any, device: str = "cam-1", release: int = 1) -> AssignedModel:
    async with stage.context.database.transaction() as session:
        await assignments.want(
            session,
            device=device,
            model="digits",
            release=release,
            variant="onnx-fp32",
            rollout=None,
            deadline_utc=stage.now,
        )
        await assignments.issue(stage.context, session, [device], stage.now)
    desired = await stage.desired(device)
    return desired.models[0]  # type: ignore[no-any-return]


async def want(stage: Any, *digests: str, by: str = "device:thief") -> list[str]:
    async with stage.context.database.transaction() as session:
        known = await blobs.known(stage.context, session, digests)
        await blobs.want(session, known, by, stage.now)
    async with stage.context.database.reading() as session:
        return await blobs.published(session)


async def manifest_digest(stage: Any, release: int = 1) -> str:
    async with stage.context.database.reading() as session:
        return (await releases.get(session, "digits", release)).manifest_sha256


async def release_key(stage: Any, release: int = 1) -> bytes:
    async with stage.context.database.reading() as session:
        row = await session.get(ReleaseKey, ("digits", release))
        return row.key if row is not None else b""


async def test_a_model_travels_as_it_is_unless_it_is_confidential(server: Any) -> None:
    assigned = await assign(server)
    assert (assigned.transfers, assigned.wrapped_key) == ((), None)
    assert await release_key(server) == b""


async def test_an_assigned_device_can_open_every_file_of_a_confidential_release(
    server: Any,
) -> None:
    await protect(server)
    assigned = await assign(server)
    assert assigned.wrapped_key is not None
    to = Recipient(
        fleet="main",
        device="cam-1",
        model="digits",
        release=1,
        manifest_sha256=assigned.manifest.sha256,
    )
    key = unwrap_key(assigned.wrapped_key, KEY, to)
    offered = {transfer.sha256: transfer for transfer in assigned.transfers}
    assert len(offered) == 3
    assert assigned.manifest.sha256 in offered  # also what the model is like
    for sha256_, transfer in offered.items():
        async with server.context.database.reading() as session:
            form = await blobs.find_form(server.context, session, transfer.wire_sha256)
        assert form is not None
        chunks = [form.chunk(number) for number in range(form.chunk_count)]
        assert sha256(b"".join(chunks)) == transfer.wire_sha256
        assert sum(map(len, chunks)) == transfer.wire_size_bytes
        cipher = ChunkCipher(key, sha256_, server.context.objects.size_bytes(sha256_))
        plain = b"".join(cipher.open(number, chunk) for number, chunk in enumerate(chunks))
        assert sha256(plain) == sha256_


async def test_each_release_has_its_own_key_and_keeps_it(server: Any) -> None:
    await protect(server)
    first = await assign(server)
    await protect(server)
    again, second = await assign(server), await assign(server, release=2)
    assert again.transfers == first.transfers
    assert again.wrapped_key != first.wrapped_key
    assert await release_key(server, 1) != await release_key(server, 2)
    assert {t.wire_sha256 for t in first.transfers}.isdisjoint(
        t.wire_sha256 for t in second.transfers
    )


async def test_plain_files_are_published_for_nobody_and_cleared_where_they_were(
    server: Any,
) -> None:
    digest = await manifest_digest(server)
    assert await want(server, digest, by="rollout:r") == [digest]
    await protect(server)
    assert await want(server, digest) == []
    wire = {t.sha256: t.wire_sha256 for t in (await assign(server)).transfers}[digest]
    assert await want(server, digest, wire, "f" * 64) == [wire]
    async with server.context.database.reading() as session:
        assert await confidential.is_confidential(session, digest)
        assert not await confidential.is_confidential(session, wire)


async def test_without_the_setting_it_travels_as_it_is_again(server: Any) -> None:
    await protect(server)
    async with server.context.database.transaction() as session:
        await confidential.unprotect(session, "digits")
        await confidential.unprotect(session, "digits")
    assert (await assign(server)).transfers == ()
    digest = await manifest_digest(server)
    assert await want(server, digest) == [digest]


async def test_a_device_without_a_key_gets_none_and_is_told_so(server: Any) -> None:
    await server.add_device("old")
    await protect(server)
    assigned = await assign(server, "old")
    assert assigned.transfers
    assert assigned.wrapped_key is None


@pytest.mark.parametrize(
    ("public", "transfers", "code"),
    [
        (b"k" * 32, (ENCRYPTED,), None),
        (None, (ENCRYPTED,), "DEVICE_KEY_MISSING"),
        (b"k" * 32, ("zstd",), "CAPABILITY_MISSING"),
        (None, (), "CAPABILITY_MISSING"),
    ],
)
def test_who_can_receive_it(
    public: bytes | None, transfers: tuple[str, ...], code: str | None
) -> None:
    inventory = msgspec.structs.replace(INVENTORY, transfers=transfers)
    if code is None:
        confidential.check_receiver("cam-1", public, inventory)
        return
    with pytest.raises(LamplighterError, match=code):
        confidential.check_receiver("cam-1", public, inventory)


async def test_the_key_stands_in_no_log_no_audit_line_and_no_representation(
    server: Any, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    await protect(server)
    await assign(server)
    key = await release_key(server)
    async with server.context.database.reading() as session:
        offered = await confidential.offer(server.context, session, "digits", 1)
        lines = (await session.scalars(select(AuditLine))).all()
    told = "\n".join([caplog.text, repr(offered), *(str(vars(line)) for line in lines)])
    assert any("confidential_model" in f"{line.action} {line.subject}" for line in lines)
    assert key.hex() not in told
    assert repr(key) not in told
