"""HTTP of the people slice."""

from typing import Annotated

from fastapi import APIRouter, Depends, Request
from pydantic import BaseModel, Field

from lamplighter_protocol.errors import LamplighterError
from lamplighter_server.actor import Actor
from lamplighter_server.edge import CallerDep, ContextDep, SessionDep
from lamplighter_server.people import service, sessions, sign_in, tokens
from lamplighter_server.people.access import (
    BOOTSTRAP,
    FLEET,
    Caller,
    Role,
    Scope,
    anybody,
    requires,
)
from lamplighter_server.people.passwords import Passwords
from lamplighter_server.people.views import (
    MeView,
    NewTokenView,
    TokenView,
    UserView,
    me,
    new_token_view,
    token_view,
    user_view,
)

router = APIRouter(prefix="/api/v1", tags=["people"])


def _passwords(request: Request) -> Passwords:
    passwords: Passwords = request.app.state.passwords
    return passwords


def _address(request: Request) -> str:
    return request.client.host if request.client is not None else ""


PasswordsDep = Annotated[Passwords, Depends(_passwords)]
AddressDep = Annotated[str, Depends(_address)]


class NewRole(BaseModel):
    """What a person may do, and where."""

    role: Role
    labels: dict[str, str] = {}


class NewUser(NewRole):
    """A person to add."""

    name: str
    password: str | None = None
    """Without one, only single sign-on lets them in."""


class NewPassword(BaseModel):
    """A password to set."""

    password: str


class Identity(BaseModel):
    """Who a person is at the single sign-on provider."""

    subject: Annotated[str, Field(min_length=1, max_length=255)]


class NewToken(BaseModel):
    """A token to make."""

    purpose: Annotated[str, Field(max_length=tokens.MAX_PURPOSE_LENGTH)] = ""
    role: Role = Role.VIEWER
    labels: dict[str, str] = {}
    days: Annotated[int, Field(ge=1, le=tokens.MAX_DAYS)] = tokens.DEFAULT_DAYS


class SignIn(NewToken):
    """A name and a password, for a token."""

    name: str
    password: str


class LinkView(BaseModel):
    """A link that signs a browser in once."""

    url: str


@router.get("/me")
@requires(Role.VIEWER, narrows=True)
async def get_me(caller: CallerDep) -> MeView:
    """Who the server takes the caller for."""
    return me(caller)


@router.get("/users")
@requires(Role.ADMIN)
async def get_users(session: SessionDep) -> list[UserView]:
    """Everybody, by name."""
    return [user_view(user) for user in await service.ls(session)]


@router.post("/users", status_code=201)
@requires(Role.ADMIN)
async def post_user(
    body: NewUser, context: ContextDep, passwords: PasswordsDep, session: SessionDep
) -> UserView:
    """Add a person."""
    encoded = await passwords.hash(body.password) if body.password is not None else None
    user = await service.add(
        session,
        body.name,
        role=body.role,
        labels=body.labels,
        password_hash=encoded,
        now_utc=context.clock(),
    )
    return user_view(user)


@router.get("/users/{name}")
@requires(Role.ADMIN)
async def get_user(name: str, session: SessionDep) -> UserView:
    """One person."""
    return user_view(await service.get(session, name))


@router.post("/users/{name}/disable")
@requires(Role.ADMIN)
async def post_disable(name: str, context: ContextDep, session: SessionDep) -> UserView:
    """Shut a person out: sessions and tokens end at once."""
    user = await service.set_disabled(session, name, disabled=True, now_utc=context.clock())
    return user_view(user)


@router.post("/users/{name}/enable")
@requires(Role.ADMIN)
async def post_enable(name: str, context: ContextDep, session: SessionDep) -> UserView:
    """Let a person in again; tokens that were not revoked count again."""
    user = await service.set_disabled(session, name, disabled=False, now_utc=context.clock())
    return user_view(user)


@router.post("/users/{name}/password")
@requires(Role.ADMIN)
async def post_password(
    name: str, body: NewPassword, passwords: PasswordsDep, session: SessionDep
) -> UserView:
    """Set a person's password; their sessions end."""
    encoded = await passwords.hash(body.password)
    return user_view(await service.set_password(session, name, encoded))


@router.post("/users/{name}/role")
@requires(Role.ADMIN)
async def post_role(name: str, body: NewRole, session: SessionDep) -> UserView:
    """Give a person another role and scope."""
    return user_view(await service.set_role(session, name, body.role, body.labels))


@router.post("/users/{name}/identity")
@requires(Role.ADMIN)
async def post_identity(
    name: str, body: Identity, context: ContextDep, session: SessionDep
) -> UserView:
    """Say who a person is at the single sign-on provider."""
    issuer = context.settings.oidc_issuer
    if not issuer:
        raise LamplighterError("CONFLICT", "This server has no single sign-on.")
    return user_view(await service.link(session, name, issuer, body.subject))


@router.get("/tokens")
@requires(Role.VIEWER, narrows=True)
async def get_tokens(caller: CallerDep, session: SessionDep) -> list[TokenView]:
    """The caller's tokens, the newest first; an admin sees everybody's."""
    return [token_view(token) for token in await tokens.ls(session, caller)]


@router.post("/tokens", status_code=201)
@requires(Role.VIEWER, narrows=True)
async def post_token(
    body: NewToken, caller: CallerDep, context: ContextDep, session: SessionDep
) -> NewTokenView:
    """Make a token that may do no more than the caller."""
    token, text = await tokens.create(
        session,
        caller,
        purpose=body.purpose,
        role=body.role,
        labels=body.labels,
        days=body.days,
        now_utc=context.clock(),
    )
    return new_token_view(token, text)


@router.post("/tokens/{token}/revoke")
@requires(Role.VIEWER, narrows=True)
async def post_revoke(
    token: str, caller: CallerDep, context: ContextDep, session: SessionDep
) -> TokenView:
    """End a token at once."""
    return token_view(await tokens.revoke(session, caller, token, context.clock()))


@router.post("/sign-in", status_code=201)
@anybody
async def post_sign_in(
    body: SignIn, context: ContextDep, passwords: PasswordsDep, address: AddressDep
) -> NewTokenView:
    """A token for a name and a password: how the command line signs in."""
    await sign_in.check_password(
        context, passwords, name=body.name, password=body.password, address=address
    )
    actor = Actor("user", body.name)
    async with context.database.transaction(actor) as session:
        user = await service.get(session, body.name)
        token, text = await tokens.create(
            session,
            Caller(actor, user.name, Role(user.role), Scope(user.labels.items())),
            purpose=body.purpose,
            role=body.role,
            labels=body.labels,
            days=body.days,
            now_utc=context.clock(),
        )
    return new_token_view(token, text)


@router.post("/sign-in-links", status_code=201)
@requires(Role.ADMIN)
async def post_link(caller: CallerDep, context: ContextDep, session: SessionDep) -> LinkView:
    """A link that signs a browser in as the data folder's own admin; only for its own token."""
    if caller.actor != BOOTSTRAP or caller.scope != FLEET:
        raise LamplighterError("ROLE_MISSING", "Only the data folder's own token makes links.")
    key = await sessions.make_link(session, caller.person, context.clock())
    return LinkView(url=sessions.link_url(context.settings, key))
