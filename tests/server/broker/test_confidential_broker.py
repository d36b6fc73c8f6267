"""What a thief of the broker can read of a confidential model: nothing."""

import asyncio
import random
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any

import aiomqtt
import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from tests.protocol.conftest import make_manifest

from lamplighter_protocol import dsse
from lamplighter_protocol.assignment import (
    ENCRYPTED,
    PAYLOAD_TYPE,
    AssignedModel,
    Assignment,
    DirectorKeys,
)
from lamplighter_protocol.blobs import BlobRef, describe
from lamplighter_protocol.bundle import Manifest, encode_manifest
from lamplighter_protocol.canonical import encode, sha256
from lamplighter_protocol.errors import LamplighterError
from lamplighter_protocol.sealed import ChunkCipher, Recipient, unwrap_key
from lamplighter_server.assignments import service as assignments
from lamplighter_server.blobs import service as blobs
from lamplighter_server.confidential import service as confidential
from lamplighter_server.context import Context
from lamplighter_server.devices import service as devices
from lamplighter_server.outbox.relay import relay
from lamplighter_server.pki.authority import INGEST
from lamplighter_server.releases.models import Release
from lamplighter_server.trust.files import DIRECTOR_KEYS
from lamplighter_server.trust.models import TrustFileRow

MODEL = random.Random(3).randbytes(150_000)  # three chunks
GOLDEN = b"golden inputs of a secret process"
KEYS = {name: X25519PrivateKey.generate() for name in ("cam-1", "cam-2")}


async def put(context: Context, content: bytes) -> str:
    async def parts() -> AsyncIterator[bytes]:
        yield content

    await context.objects.put(sha256(content), parts())
    return sha256(content)


async def publish(context: Context) -> Manifest:
    files = {"model.onnx": describe(MODEL), "golden.npz": describe(GOLDEN)}
    manifest = msgspec.structs.replace(make_manifest(1), files=files)
    raw = encode_manifest(manifest)
    for content in (raw, MODEL, GOLDEN):
        await put(context, content)
    director = DirectorKeys(epoch=1, public_pem=(context.keys.director_public_pem,))
    async with context.database.transaction() as session:
        session.add(TrustFileRow(name=DIRECTOR_KEYS, body=encode(director), published=True))
        session.add(
            Release(
                model="digits",
                number=1,
                manifest_sha256=sha256(raw),
                manifest_size_bytes=len(raw),
                evidence_sha256="0" * 64,
                published_utc=datetime.now(UTC),
                evidence={},
            )
        )
    return manifest


async def assign(site: Any, manifest: Manifest) -> None:
    """Assign to one of two boards, and let the broker have what the rollout needs."""
    context, now = site.context, datetime.now(UTC)
    for name, private in KEYS.items():
        await site.add_board(name)
        async with context.database.transaction() as session:
            device = await devices.get(session, name)
            device.agreement_public = private.public_key().public_bytes_raw()
    async with context.database.transaction() as session:
        await assignments.want(
            session,
            device="cam-1",
            model="digits",
            release=1,
            variant="onnx-fp32",
            rollout=None,
            deadline_utc=now,
        )
        await assignments.issue(context, session, ["cam-1"], now)
        plain = [sha256(encode_manifest(manifest)), sha256(MODEL), sha256(GOLDEN)]
        names = await confidential.names_on_wire(context, session, "digits", 1, plain)
        await blobs.want(session, names, "rollout:1", now)


async def capture(context: Context) -> dict[str, bytes]:
    """Every retained message of the broker."""
    client = aiomqtt.Client(
        "127.0.0.1",
        context.settings.broker_port,
        protocol=aiomqtt.ProtocolVersion.V5,
        tls_context=context.authority.client_tls(INGEST),
    )
    held = {}
    async with client:
        await client.subscribe("lamp/#", qos=1)
        try:
            async with asyncio.timeout(0.5):
                async for message in client.messages:
                    assert isinstance(message.payload, bytes)
                    held[str(message.topic)] = message.payload
        except TimeoutError:
            return held
    raise AssertionError("the broker closed the connection")


def blob_chunks(context: Context, held: dict[str, bytes]) -> dict[str, dict[int, bytes]]:
    found: dict[str, dict[int, bytes]] = {}
    for topic, payload in held.items():
        if "/blob/" in topic:
            digest, number = context.topics.parse_chunk(topic)
            found.setdefault(digest, {})[number] = payload
    return found


def read_assigned(context: Context, held: dict[str, bytes]) -> AssignedModel:
    key = dsse.load_public(context.keys.director_public_pem)
    payload = dsse.verify(
        held[context.topics.device("cam-1", "desired")], PAYLOAD_TYPE, {dsse.key_id(key): key}
    )
    return msgspec.json.decode(payload, type=Assignment).models[0]


def unwrap(model: AssignedModel, device: str) -> bytes:
    to = Recipient(
        fleet="main",
        device=device,
        model="digits",
        release=1,
        manifest_sha256=model.manifest.sha256,
    )
    assert model.wrapped_key is not None
    return unwrap_key(model.wrapped_key, KEYS[device], to)


def read_file(blob: BlobRef, key: bytes, chunks: dict[int, bytes]) -> bytes:
    cipher = ChunkCipher(key, blob.sha256, blob.size_bytes)
    return b"".join(cipher.open(number, chunks[number]) for number in sorted(chunks))


def leaks(held: dict[str, bytes]) -> list[str]:
    """Topics in which any 24 bytes in a row of a file stand."""
    everything = {topic: bytes(payload) for topic, payload in held.items()}
    secrets = [MODEL[at : at + 24] for at in range(0, len(MODEL) - 24, 997)]
    secrets += [GOLDEN[:24], b'"columns":', b"brightness"]
    return [topic for topic, raw in everything.items() if any(secret in raw for secret in secrets)]


async def test_the_broker_and_other_devices_hold_nothing_that_they_can_read(
    site: Any, running: Any, eventually: Any
) -> None:
    context = site.context
    manifest = await publish(context)
    await assign(site, manifest)
    held: dict[str, bytes] = {}

    async def holds_the_plain_model() -> bool:
        held.clear()
        held.update(await capture(context))
        return len(leaks(held)) == 5  # three chunks of the model, the golden inputs, the manifest

    async def holds_it_sealed() -> bool:
        held.clear()
        held.update(await capture(context))
        model = read_assigned(context, held)
        offered = {item.wire_sha256 for item in model.transfers}
        return bool(offered) and offered == blob_chunks(context, held).keys()

    async with running(relay(context)):
        await eventually(holds_the_plain_model)
        async with context.database.transaction() as session:
            await confidential.protect(context, session, "digits")
            await assignments.issue(context, session, ["cam-1"], datetime.now(UTC))
            offer = await confidential.offer(context, session, "digits", 1)
            assert offer is not None
            wires = [item.wire_sha256 for item in offer.transfers]
            await blobs.want(session, wires, "device:cam-1", datetime.now(UTC))
        await eventually(holds_it_sealed)
    assert leaks(held) == []

    model, chunks = read_assigned(context, held), blob_chunks(context, held)
    assert all(item.kind == ENCRYPTED for item in model.transfers)
    on_wire = {item.sha256: item.wire_sha256 for item in model.transfers}
    key = unwrap(model, "cam-1")
    for blob, content in (
        (manifest.files["model.onnx"], MODEL),
        (manifest.files["golden.npz"], GOLDEN),
        (model.manifest, encode_manifest(manifest)),
    ):
        assert read_file(blob, key, chunks[on_wire[blob.sha256]]) == content
    with pytest.raises(LamplighterError, match="KEY_REFUSED"):
        unwrap(model, "cam-2")
    blob = manifest.files["model.onnx"]
    with pytest.raises(LamplighterError, match="CHUNK_REFUSED"):
        read_file(blob, KEYS["cam-2"].private_bytes_raw(), chunks[on_wire[blob.sha256]])


async def test_a_plain_file_that_was_queued_before_is_not_published_after(
    site: Any, running: Any, eventually: Any
) -> None:
    context = site.context
    await assign(site, await publish(context))  # queued, and no relay runs
    async with context.database.transaction() as session:
        await confidential.protect(context, session, "digits")
        await assignments.issue(context, session, ["cam-1"], datetime.now(UTC))
    seen: dict[str, bytes] = {}

    async def is_told() -> bool:
        seen.update(await capture(context))
        return read_assigned(context, seen).wrapped_key is not None

    async with running(relay(context)):
        topic = context.topics.device("cam-1", "desired")

        async def has_come() -> bool:
            return topic in await capture(context) and await is_told()

        await eventually(has_come)
    assert leaks(seen) == []
