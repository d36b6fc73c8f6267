"""API tokens: `lamp_<id>_<secret>`. The id tells a leaked one apart; the secret is shown once."""

import hashlib
import hmac
import re
import secrets
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Final

from sqlalchemy.ext.asyncio import AsyncSession

from lamplighter_protocol.errors import LamplighterError
from lamplighter_protocol.names import check_name
from lamplighter_server.people import repository
from lamplighter_server.people.access import FLEET, Caller, Role
from lamplighter_server.people.models import ApiToken

DEFAULT_DAYS: Final = 90
MAX_DAYS: Final = 365
MAX_PURPOSE_LENGTH: Final = 100
_FORM: Final = re.compile(r"lamp_([0-9a-f]{12})_([A-Za-z0-9_-]{43})")


async def create(
    session: AsyncSession,
    by: Caller,
    *,
    purpose: str,
    role: Role,
    labels: Mapping[str, str],
    days: int,
    now_utc: datetime,
) -> tuple[ApiToken, str]:
    """Make a token that may do no more than its maker: its labels narrow the maker's scope.

    Returns:
        The token's record, and its text, which is not kept.

    Raises:
        LamplighterError: ROLE_MISSING for more than the maker's role, or if a token makes a
            token: revoking one would not end the other; NAME_INVALID.
    """
    if by.is_api_token:
        raise LamplighterError("ROLE_MISSING", "A token makes no tokens; sign in for that.")
    if not by.role.includes(role):
        raise LamplighterError("ROLE_MISSING", f"{by.person} is {by.role}, not {role}.")
    for label in labels.items():
        for part in label:
            check_name(part, "label")
    secret = secrets.token_urlsafe(32)
    token = ApiToken(
        id=secrets.token_hex(6),
        secret_sha256=_digest(secret),
        user=by.person,
        purpose=purpose,
        role=role,
        labels=dict(labels),
        created_utc=now_utc,
        expires_utc=now_utc + timedelta(days=days),
        revoked_utc=None,
        used_utc=None,
    )
    session.add(token)
    return token, f"lamp_{token.id}_{secret}"


async def find(session: AsyncSession, text: str, now_utc: datetime) -> ApiToken | None:
    """The token with this text, if it still counts."""
    match = _FORM.fullmatch(text)
    if match is None:
        return None
    token = await session.get(ApiToken, match[1])
    if token is None or not hmac.compare_digest(token.secret_sha256, _digest(match[2])):
        return None
    return token if token.revoked_utc is None and now_utc < token.expires_utc else None


async def ls(session: AsyncSession, by: Caller) -> Sequence[ApiToken]:
    """The caller's own tokens; an admin of the whole fleet sees everybody's."""
    return await repository.find_tokens(session, None if _is_head(by) else by.person)


async def revoke(session: AsyncSession, by: Caller, token: str, now_utc: datetime) -> ApiToken:
    """End a token at once.

    Raises:
        LamplighterError: NOT_FOUND, also for somebody else's token.
    """
    row = await session.get(ApiToken, token)
    if row is None or (row.user != by.person and not _is_head(by)):
        raise LamplighterError("NOT_FOUND", f"There is no token {token!r}.")
    row.revoked_utc = row.revoked_utc or now_utc
    return row


def _is_head(by: Caller) -> bool:
    return by.role is Role.ADMIN and by.scope == FLEET


def _digest(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()
