"""A device that is given a confidential release, and one that is not."""

from collections.abc import AsyncIterator, Callable
from datetime import datetime, timezone
from pathlib import Path

import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from tests.agent.app.test_supervisor import DEVICE_KEY, KEY, Board, bundle, ended, model
from tests.agent.cloud import DEVICE, FLEET, Cloud

from lamplighter_agent.app.transfers import plan_transfers
from lamplighter_agent.store.identity import load_identity
from lamplighter_protocol.assignment import ENCRYPTED, AssignedModel, Transfer
from lamplighter_protocol.blobs import describe
from lamplighter_protocol.canonical import sha256
from lamplighter_protocol.errors import LamplighterError
from lamplighter_protocol.reported import Reported
from lamplighter_protocol.sealed import (
    Recipient,
    new_release_key,
    sealed_size_bytes,
    wrap_key,
)


@pytest.fixture(name="cloud")
async def _cloud(mosquitto: int) -> AsyncIterator[Cloud]:
    async with Cloud(mosquitto, DEVICE_KEY.public_key(), KEY) as cloud:
        yield cloud


@pytest.fixture
def board(tmp_path: Path, mosquitto: int, cloud: Cloud) -> Board:
    return Board(tmp_path / "data", mosquitto, cloud.repository.root_bytes)


def wrapped_for(private: X25519PrivateKey, release_key: bytes, raw: bytes) -> bytes:
    to = Recipient(
        fleet=FLEET, device=DEVICE, model="digits", release=1, manifest_sha256=sha256(raw)
    )
    return wrap_key(release_key, private.public_key().public_bytes_raw(), to)


def failed_with(code: str) -> Callable[[Reported], bool]:
    def check(report: Reported) -> bool:
        found = model(report)
        failure = found.attempt.failure if found and found.attempt else None
        return failure is not None and failure.code == code

    return check


async def test_an_assigned_device_opens_a_confidential_release_and_runs_it(
    board: Board, cloud: Cloud
) -> None:
    manifest, files = bundle(1, {})
    raw, release_key = cloud.add(manifest, files), new_release_key()
    agreement = board.identity.agreement
    assert agreement is not None
    cloud.seal(raw, files, release_key, wrapped_for(agreement, release_key, raw))
    async with board.running():
        cloud.assign(1, (raw, manifest))
        report = await cloud.until(ended(1, "committed"))
        assert ENCRYPTED in report.inventory.transfers
        assert await board.ask() == 1
    stored = board.data / "blobs" / "sha256"
    assert {path.name for path in stored.iterdir()} == {
        sha256(raw),
        *(sha256(content) for content in files.values()),
    }


@pytest.mark.parametrize(
    ("private", "code"),
    [(X25519PrivateKey.generate(), "KEY_REFUSED"), (None, "DEVICE_KEY_MISSING")],
)
async def test_a_device_without_the_key_says_why_it_cannot_have_the_release(
    board: Board, cloud: Cloud, private: X25519PrivateKey | None, code: str
) -> None:
    manifest, files = bundle(1, {})
    raw, release_key = cloud.add(manifest, files), new_release_key()
    wrapped = wrapped_for(private, release_key, raw) if private else None
    cloud.seal(raw, files, release_key, wrapped)
    async with board.running():
        cloud.assign(1, (raw, manifest))
        report = await cloud.until(failed_with(code))
    assert report.wants == ()


async def test_chunks_sealed_with_another_key_are_refused_as_they_come(
    board: Board, cloud: Cloud
) -> None:
    manifest, files = bundle(1, {})
    raw = cloud.add(manifest, files)
    agreement = board.identity.agreement
    assert agreement is not None
    cloud.seal(raw, files, new_release_key(), wrapped_for(agreement, new_release_key(), raw))
    async with board.running():
        cloud.assign(1, (raw, manifest))
        report = await cloud.until(
            lambda report: report.problem is not None and report.problem.code == "CHUNK_REFUSED"
        )
    assert "does not open with its key" in (report.problem.sentence if report.problem else "")
    assert not list((board.data / "blobs" / "sha256").iterdir())


def test_what_cannot_be_honoured_is_refused_before_anything_is_fetched(board: Board) -> None:
    raw = b"m" * 70_000
    blob, release_key = describe(raw), new_release_key()
    agreement = board.identity.agreement
    assert agreement is not None
    now = datetime.now(timezone.utc)
    offered = Transfer(
        kind=ENCRYPTED,
        sha256=blob.sha256,
        wire_sha256="f" * 64,
        wire_size_bytes=sealed_size_bytes(blob.size_bytes),
    )
    plain = AssignedModel(
        model="digits",
        release=1,
        manifest=blob,
        variant="onnx-fp32",
        not_before_utc=now,
        deadline_utc=now,
    )
    wrapped = wrapped_for(agreement, release_key, raw)
    sealed = msgspec.structs.replace(plain, transfers=(offered,), wrapped_key=wrapped)
    (planned,) = plan_transfers([blob], plain, board.identity, nothing)
    assert (planned.wire_sha256, planned.cipher) == (blob.sha256, None)
    (planned,) = plan_transfers([blob], sealed, board.identity, nothing)
    assert planned.wire_sha256 == "f" * 64
    (board.identity.directory / "agreement.key").unlink()
    enrolled_before = load_identity(board.identity.directory)
    for code, identity, transfer in (
        ("CAPABILITY_MISSING", board.identity, {"kind": "pigeon"}),
        ("TRUST_REFUSED", board.identity, {"wire_size_bytes": 2**40}),
        ("DEVICE_KEY_MISSING", enrolled_before, {}),
    ):
        changed = msgspec.structs.replace(offered, **transfer)
        asked = msgspec.structs.replace(sealed, transfers=(changed,))
        with pytest.raises(LamplighterError, match=code):
            plan_transfers([blob], asked, identity, nothing)


def nothing(_digest: str) -> bool:
    return False
