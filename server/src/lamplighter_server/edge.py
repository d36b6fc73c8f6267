"""What every endpoint asks for: context, caller, one transaction that ends before the answer.

Before any endpoint of the people's door, `authorise` holds the caller against what it declares.
"""

import hmac
from collections.abc import AsyncIterator
from typing import Annotated, Final

from fastapi import Depends, Request
from sqlalchemy.ext.asyncio import AsyncSession

from lamplighter_protocol.errors import LamplighterError
from lamplighter_server.actor import SERVER, Actor
from lamplighter_server.context import Context
from lamplighter_server.people.access import SAFE_METHODS, Access, Caller, check_access, declared


def _context(request: Request) -> Context:
    context: Context = request.app.state.context
    return context


ContextDep = Annotated[Context, Depends(_context)]


def _caller(request: Request) -> Caller:
    caller: Caller | None = request.state.caller
    if caller is None:
        raise LamplighterError("NOT_AUTHORISED", "Nobody is signed in.")
    return caller


CallerDep = Annotated[Caller, Depends(_caller)]

#: Where a browser says that a change comes from a page of its session.
CSRF_HEADER: Final = "x-csrf-token"
CSRF_FIELD: Final = "csrf"


async def authorise(request: Request) -> None:
    """Let a call through to its endpoint, or refuse it.

    Raises:
        LamplighterError: NOT_AUTHORISED, ROLE_MISSING, SCOPE_MISSING or CSRF_REFUSED.
    """
    access: Access | None = declared(request.scope.get("endpoint"))
    caller: Caller | None = request.state.caller
    check_access(access, caller)
    for_anybody = access is not None and access.least is None
    if for_anybody or caller is None or caller.csrf is None or request.method in SAFE_METHODS:
        return
    given = request.headers.get(CSRF_HEADER)
    if given is None:
        field = (await request.form()).get(CSRF_FIELD)
        given = field if isinstance(field, str) else ""
    if not hmac.compare_digest(given.encode(), caller.csrf.encode()):
        raise LamplighterError("CSRF_REFUSED", "The form is not of this session.")


async def _transaction(request: Request, context: ContextDep) -> AsyncIterator[AsyncSession]:
    database = context.database
    actor: Actor = getattr(request.state, "actor", SERVER)  # set by whoever guards the door
    reads_only = request.method in SAFE_METHODS
    async with database.reading() if reads_only else database.transaction(actor) as session:
        yield session


#: `scope="function"` commits before the answer leaves: what was answered is stored.
SessionDep = Annotated[AsyncSession, Depends(_transaction, scope="function")]
