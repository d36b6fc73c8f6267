"""People as the API and the command line show them: never a hash, never a secret."""

from datetime import datetime

from pydantic import BaseModel

from lamplighter_server.people.access import Caller, Role
from lamplighter_server.people.models import ApiToken, User


class MeView(BaseModel):
    """Who makes this request, with what rights."""

    actor: str
    person: str
    role: Role
    labels: list[str]


class UserView(BaseModel):
    """One person."""

    name: str
    role: Role
    labels: dict[str, str]
    has_password: bool
    issuer: str | None
    subject: str | None
    created_utc: datetime
    signed_in_utc: datetime | None
    disabled_utc: datetime | None


class TokenView(BaseModel):
    """One API token, without its secret."""

    id: str
    user: str
    purpose: str
    role: Role
    labels: dict[str, str]
    created_utc: datetime
    expires_utc: datetime
    used_utc: datetime | None
    revoked_utc: datetime | None


class NewTokenView(TokenView):
    """A token that was just made."""

    token: str
    """Its text, shown this once."""


def me(caller: Caller) -> MeView:
    """The caller."""
    labels = [f"{name}={value}" for name, value in sorted(caller.scope)]
    return MeView(actor=str(caller.actor), person=caller.person, role=caller.role, labels=labels)


def user_view(user: User) -> UserView:
    """One person."""
    return UserView(
        name=user.name,
        role=Role(user.role),
        labels=user.labels,
        has_password=user.password_hash is not None,
        issuer=user.issuer,
        subject=user.subject,
        created_utc=user.created_utc,
        signed_in_utc=user.signed_in_utc,
        disabled_utc=user.disabled_utc,
    )


def token_view(token: ApiToken) -> TokenView:
    """One token."""
    return TokenView.model_validate(token, from_attributes=True)


def new_token_view(token: ApiToken, text: str) -> NewTokenView:
    """A token with its text."""
    return NewTokenView(**token_view(token).model_dump(), token=text)
