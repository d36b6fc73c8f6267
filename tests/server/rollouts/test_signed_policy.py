"""What offline keys say of a model binds the server too."""

from datetime import UTC, datetime
from typing import Any

import pytest

from lamplighter_protocol.errors import LamplighterError
from lamplighter_protocol.trust import ModelPolicy
from lamplighter_server.publishing.draft import Draft
from lamplighter_server.rollouts import service as rollouts
from lamplighter_server.rollouts.policy import Policy
from lamplighter_server.trust.models import TrustFileRow


async def restrict(stage: Any, **said: Any) -> None:
    draft = Draft({}, datetime.now(UTC))
    draft.restrict("targets", ModelPolicy(model="digits", **said))
    raw = draft.done()["targets"]
    async with stage.context.database.transaction() as session:
        await session.merge(TrustFileRow(name="1.targets.json", body=raw, published=True))


async def create(stage: Any, release: int) -> dict[str, tuple[str, str]]:
    """State and reason of each device of a new rollout."""
    async with stage.context.database.transaction() as session:
        made = await rollouts.create(
            stage.context,
            session,
            stage.admin,
            model="digits",
            release=release,
            policy=Policy(),
        )
        return {
            place.device: (place.state, place.reason)
            for place, _ in await rollouts.places(session, made.id)
        }


async def test_a_release_below_the_signed_minimum_gets_no_rollout(stage: Any) -> None:
    await stage.add_device("cam-1")
    for release in (1, 2):
        await stage.add_release("digits", release)
    await restrict(stage, minimum_release=2)
    with pytest.raises(LamplighterError, match="RELEASE_BELOW_MINIMUM"):
        await create(stage, 1)
    assert (await create(stage, 2))["cam-1"][0] == "waiting"


async def test_forbidden_hardware_is_skipped_and_says_why(stage: Any) -> None:
    for name in ("cam-1", "cam-2"):
        await stage.add_device(name)
    await stage.add_release("digits", 1)
    async with stage.context.database.transaction() as session:
        from lamplighter_server.devices import service as devices

        device = await devices.get(session, "cam-2")
        device.inventory = {**device.inventory, "machine": "riscv64"}
        machine = (await devices.get(session, "cam-1")).inventory["machine"]
    await restrict(stage, machines=(machine,))
    states = await create(stage, 1)
    assert states["cam-1"][0] == "waiting"
    assert states["cam-2"][0] == "skipped"
    assert states["cam-2"][1].startswith("HARDWARE_FORBIDDEN: riscv64")
    await restrict(stage, machines=("none",))
    with pytest.raises(LamplighterError, match="ROLLOUT_INVALID"):
        await create(stage, 1)
