"""Whoever holds the broker, against what gates and people read of a device."""

from typing import Any

import numpy as np
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from tests.conformance.attacks.refusal import refused
from tests.server.telemetry.test_telemetry_service import (
    acks,
    counts,
    hand_in,
    send,
    stored,
    window,
)

from lamplighter_protocol import dsse
from lamplighter_protocol.names import MAX_TELEMETRY_BYTES
from lamplighter_protocol.reported import PAYLOAD_TYPE
from lamplighter_protocol.telemetry import Ack, seal, unseal
from lamplighter_server.devices import service as devices


@pytest.fixture
async def fleet(stage: Any) -> Any:
    for name in ("cam-1", "cam-2"):
        await stage.add_device(name, site="a")
    await stage.add_release("digits", 1)
    return stage


async def envelope_of(fleet: Any, name: str) -> bytes:
    async with fleet.context.database.transaction() as session:
        raw: bytes = (await devices.get(session, name)).report_envelope or b""
        return raw


async def accept(fleet: Any, name: str, raw: bytes) -> None:
    async with fleet.context.database.transaction() as session:
        device = await devices.get(session, name)
        await devices.accept_report(fleet.context, session, device, raw)


async def test_a_forged_report(fleet: Any) -> None:
    with refused("SIGNATURE_INVALID"):
        await fleet.report("cam-1", committed=1, signer=Ed25519PrivateKey.generate())


async def test_a_report_of_another_device(fleet: Any) -> None:
    await fleet.report("cam-2", committed=1)
    with refused("SIGNATURE_INVALID"):
        await accept(fleet, "cam-1", await envelope_of(fleet, "cam-2"))


async def test_a_report_that_names_another_device(fleet: Any) -> None:
    """A device may say what it likes of itself, and nothing of another one."""
    await fleet.report("cam-2", committed=1)
    key = fleet.boards["cam-2"].key
    payload = dsse.verify(
        await envelope_of(fleet, "cam-2"),
        PAYLOAD_TYPE,
        {dsse.key_id(key.public_key()): key.public_key()},
    )
    signer = dsse.SoftwareSigner(fleet.boards["cam-1"].key)
    with refused("SIGNATURE_INVALID"):
        await accept(fleet, "cam-1", dsse.sign(PAYLOAD_TYPE, payload, signer))


async def test_a_replayed_report(fleet: Any) -> None:
    await fleet.report("cam-1", committed=1)
    old = await envelope_of(fleet, "cam-1")
    await fleet.report("cam-1")
    with refused("REPORT_STALE"):
        await accept(fleet, "cam-1", old)


async def test_a_forged_window_from_the_broker(fleet: Any) -> None:
    body = window(counts(np.random.default_rng(1)), fleet.now)
    with refused("MESSAGE_FORGED"):
        await send(fleet, body, 1, key=b"k" * 32)
    assert await stored(fleet) == []
    assert await acks(fleet) == []


async def test_a_window_of_another_device_or_stream(fleet: Any) -> None:
    body = window(counts(np.random.default_rng(1)), fleet.now)
    for device, stream in (("cam-2", "window"), ("cam-1", "event")):
        raw = seal(
            body,
            key=fleet.boards["cam-1"].telemetry_key,
            device=device,
            stream=stream,  # type: ignore[arg-type]
            boot="b1",
            sequence=1,
            oldest=0,
        )
        with refused("MESSAGE_FORGED"):
            await hand_in(fleet, raw, stream="window")


async def test_a_window_that_never_ends(fleet: Any) -> None:
    with refused("MESSAGE_TOO_LARGE"):
        await hand_in(fleet, b"\xc6\xff\xff\xff\xff" * MAX_TELEMETRY_BYTES, stream="window")


async def test_lengths_that_lie(fleet: Any) -> None:
    """The length fields of MessagePack announce gigabytes that never come."""
    for raw in (b"\xc6\xff\xff\xff\xff", b"\xdd\xff\xff\xff\xff", b"\x96\x01\xdb\xff\xff\xff\xff"):
        with refused("MESSAGE_MALFORMED"):
            await hand_in(fleet, raw, stream="window")


def test_a_forged_acknowledgement_deletes_nothing() -> None:
    """The device would forget what the server never stored."""
    raw = seal(
        Ack(stored={"window": 2**40}),
        key=b"b" * 32,
        device="cam-1",
        stream="ack",
        boot="server",
        sequence=1,
        oldest=0,
    )
    with refused("MESSAGE_FORGED"):
        unseal(raw, Ack, key=b"d" * 32, device="cam-1", stream="ack")
