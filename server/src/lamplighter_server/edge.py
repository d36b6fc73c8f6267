"""What every endpoint asks for: the context, and one transaction that ends before the answer."""

from collections.abc import AsyncIterator
from typing import Annotated

from fastapi import Depends, Request
from sqlalchemy.ext.asyncio import AsyncSession

from lamplighter_server.actor import SERVER, Actor
from lamplighter_server.context import Context


def _context(request: Request) -> Context:
    context: Context = request.app.state.context
    return context


ContextDep = Annotated[Context, Depends(_context)]


async def _transaction(request: Request, context: ContextDep) -> AsyncIterator[AsyncSession]:
    database = context.database
    actor: Actor = getattr(request.state, "actor", SERVER)  # set by whoever guards the door
    reads_only = request.method in {"GET", "HEAD"}
    async with database.reading() if reads_only else database.transaction(actor) as session:
        yield session


#: `scope="function"` commits before the answer leaves: what was answered is stored.
SessionDep = Annotated[AsyncSession, Depends(_transaction, scope="function")]
