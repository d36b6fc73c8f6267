from datetime import timedelta
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from lamplighter_protocol.assignment import Generation
from lamplighter_protocol.errors import LamplighterError
from lamplighter_server.history import service

FIRST = Generation(1, 1)
BOTH = {"cam-1", "cam-2"}


@pytest.fixture
async def fleet(stage: Any) -> Any:
    for number in (1, 2):
        await stage.add_release("digits", number)
    for name in BOTH:
        await stage.add_device(name)
    return stage


async def told(fleet: Any, devices: set[str] = BOTH) -> list[tuple[str, int, bool]]:
    async with fleet.context.database.reading() as session:
        rows = await service.ls(session, "digits", devices)
    return [(row.device, row.release, row.until_utc is None) for row in rows]


async def test_each_switch_is_one_line(fleet: Any) -> None:
    for release in (1, 1, 2, 2, 1):
        fleet.now += timedelta(minutes=1)
        await fleet.report("cam-1", committed=release, generation=FIRST)
    await fleet.report("cam-2", committed=2, generation=FIRST)
    of_first = [("cam-1", 1, True), ("cam-1", 2, False), ("cam-1", 1, False)]
    assert await told(fleet) == [("cam-2", 2, True), *of_first]
    assert await told(fleet, {"cam-1"}) == of_first


async def test_a_model_that_is_gone_has_an_end(fleet: Any) -> None:
    await fleet.report("cam-1", committed=1, generation=FIRST)
    await fleet.report("cam-1", generation=FIRST)
    assert await told(fleet) == [("cam-1", 1, False)]


async def test_what_is_not_signed_by_the_device_is_no_history(fleet: Any) -> None:
    with pytest.raises(LamplighterError, match="SIGNATURE_INVALID"):
        await fleet.report("cam-1", committed=1, signer=Ed25519PrivateKey.generate())
    assert await told(fleet) == []
