"""The tick: assignments of a former epoch, and those that grow old, are signed anew.

It takes a bounded step each time, so a whole fleet is renewed over many ticks and no transaction
is long; a rotation of the director's keys needs nothing else.
"""

from datetime import timedelta
from typing import Final

from lamplighter_server.assignments import service
from lamplighter_server.context import Context
from lamplighter_server.trust import service as trust

BATCH: Final = 200
#: The share of its life after which an assignment is renewed.
RENEWED_AT: Final = 2 / 3


async def tick(context: Context) -> None:
    """Sign up to BATCH assignments anew.

    Raises:
        LamplighterError: What service.issue raises; nothing is stored then.
    """
    now_utc = context.clock()
    age = timedelta(seconds=context.settings.assignment_lifetime_s * RENEWED_AT)
    async with context.database.reading() as session:
        if not await trust.is_established(session):
            return
        epoch = (await trust.load_director_keys(session)).epoch
        due = await service.find_due(
            session, epoch=epoch, issued_before_utc=now_utc - age, limit=BATCH
        )
    if due:
        async with context.database.transaction() as session:
            await service.issue(context, session, due, now_utc)
