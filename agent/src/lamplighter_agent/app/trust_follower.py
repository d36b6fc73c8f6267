"""Has what came over the trust topics verified as soon as it is complete."""

import asyncio
from collections.abc import Callable

from lamplighter_agent.app.config import Settings
from lamplighter_agent.app.teller import Teller
from lamplighter_agent.trust.refresh import Trust
from lamplighter_protocol.errors import LamplighterError


async def follow_trust(
    trust: Trust, ask_again: Callable[[], None], tell: Teller, settings: Settings
) -> None:
    """Verify until cancelled; what may heal by itself is tried again, with growing pauses.

    Args:
        trust: What has come.
        ask_again: Lets the broker send everything again.
        tell: Takes what was refused.
        settings: Durations.
    """
    trust.changed.set()  # what came before the restart
    pause_s: float | None = None
    while True:
        try:
            await asyncio.wait_for(trust.changed.wait(), pause_s)
        except asyncio.TimeoutError:
            if trust.is_short:
                ask_again()
        trust.changed.clear()
        if trust.is_due():
            await _refresh(trust, tell)
        longer_s = 2 * pause_s if pause_s else settings.retry_first_s
        pause_s = min(longer_s, settings.retry_max_s) if trust.may_heal else None


async def _refresh(trust: Trust, tell: Teller) -> None:
    try:
        await trust.refresh()
    except LamplighterError as error:
        tell.problem(error)
    tell.changed()
    tell.settled()
