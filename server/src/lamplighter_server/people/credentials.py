"""From what a request carries to who makes it."""

import hmac
import secrets
from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final

from sqlalchemy.ext.asyncio import AsyncSession

from lamplighter_server.actor import Actor
from lamplighter_server.context import Context
from lamplighter_server.files import write_durably
from lamplighter_server.people import repository, service, sessions, tokens
from lamplighter_server.people.access import BOOTSTRAP, Caller, Role, Scope
from lamplighter_server.people.models import User

SEEN_EVERY: Final = timedelta(minutes=1)
"""How exactly the last use is kept: reading must not become writing."""
_NoteUse = Callable[[AsyncSession, str, datetime], Awaitable[None]]


def load_or_create_token(path: Path) -> str:
    """The data folder's own token; made at the first start, readable by its owner only."""
    if not path.exists():
        write_durably(path, secrets.token_urlsafe(32).encode() + b"\n")
    return path.read_text().strip()


class Credentials:
    """Recognises bearer tokens and session cookies."""

    def __init__(self, context: Context, bootstrap_token: str) -> None:
        self._context = context
        self._bootstrap_token = bootstrap_token.encode()

    async def by_token(self, text: str, *, note: bool = True) -> Caller | None:
        """Whose token it is; None if it does not count. `note` remembers this as its last use."""
        context, now_utc = self._context, self._context.clock()
        async with context.database.reading() as session:
            if hmac.compare_digest(text.encode(), self._bootstrap_token):
                return self._caller(await session.get(User, BOOTSTRAP.name), BOOTSTRAP)
            token = await tokens.find(session, text, now_utc)
            if token is None:
                return None
            user = await service.get(session, token.user)
            caller = self._caller(user, Actor("token", token.id))
        if caller is None:
            return None
        if note:
            await self._note_use(repository.note_token_use, token.id, token.used_utc, now_utc)
        return Caller(
            actor=caller.actor,
            person=caller.person,
            role=min(caller.role, Role(token.role), key=list(Role).index),
            scope=caller.scope | Scope(token.labels.items()),
        )

    async def by_session(self, secret: str, *, note: bool = True) -> Caller | None:
        """Whose browser it is; None if it is signed in no more."""
        context, now_utc = self._context, self._context.clock()
        async with context.database.reading() as session:
            row = await sessions.find(session, secret, now_utc)
            if row is None:
                return None
            user = await service.get(session, row.user)
            csrf = sessions.csrf_of(secret)
            caller = self._caller(user, Actor("user", user.name), csrf)
        if caller is not None and note:
            await self._note_use(repository.note_session_use, row.id_sha256, row.seen_utc, now_utc)
        return caller

    def _caller(self, user: User | None, actor: Actor, csrf: str | None = None) -> Caller | None:
        if user is None or not service.may_enter(user, self._context.settings):
            return None
        return Caller(actor, user.name, Role(user.role), Scope(user.labels.items()), csrf)

    async def _note_use(
        self, note: _NoteUse, key: str, last_utc: datetime | None, now_utc: datetime
    ) -> None:
        if last_utc is not None and now_utc - last_utc < SEEN_EVERY:
            return
        async with self._context.database.transaction() as session:
            await note(session, key, now_utc)
