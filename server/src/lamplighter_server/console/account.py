"""A person's own page: tokens, password, and every browser that is signed in."""

from typing import Annotated

from fastapi import APIRouter, Form, Request
from fastapi.responses import HTMLResponse, RedirectResponse, Response

from lamplighter_protocol.errors import LamplighterError
from lamplighter_server.console.pages import Pages
from lamplighter_server.context import Context
from lamplighter_server.edge import CallerDep, SessionDep
from lamplighter_server.people import service, sign_in, tokens
from lamplighter_server.people.access import Caller, Role, requires
from lamplighter_server.people.endpoints import AddressDep, PasswordsDep


def router(context: Context, pages: Pages) -> APIRouter:
    """The routes of a person's own page."""
    routes = APIRouter(prefix="/account", include_in_schema=False)

    async def page(
        caller: Caller,
        *,
        error: LamplighterError | None = None,
        new_token: str = "",
    ) -> HTMLResponse:
        async with context.database.reading() as session:
            user = await service.get(session, caller.person)
            rows = await tokens.ls(session, caller)
        html = pages.render(
            "account.html",
            me=caller,
            user=user,
            roles=[role for role in Role if caller.role.includes(role)],
            tokens=[row for row in rows if row.user == user.name and row.revoked_utc is None],
            now_utc=context.clock(),
            error=error,
            new_token=new_token,
        )
        return HTMLResponse(html, error.entry.http_status if error is not None else 200)

    @routes.get("")
    @requires(Role.VIEWER, narrows=True)
    async def get_account(caller: CallerDep) -> HTMLResponse:
        return await page(caller)

    @routes.post("/tokens")
    @requires(Role.VIEWER, narrows=True)
    async def post_token(
        caller: CallerDep,
        request: Request,
        role: Annotated[Role, Form()],
        purpose: Annotated[str, Form(max_length=tokens.MAX_PURPOSE_LENGTH)] = "",
        days: Annotated[int, Form(ge=1, le=tokens.MAX_DAYS)] = tokens.DEFAULT_DAYS,
    ) -> Response:
        try:
            async with context.database.transaction(request.state.actor) as session:
                _, text = await tokens.create(
                    session,
                    caller,
                    purpose=purpose,
                    role=role,
                    labels={},
                    days=days,
                    now_utc=context.clock(),
                )
        except LamplighterError as error:
            return await page(caller, error=error)
        return await page(caller, new_token=text)

    @routes.post("/tokens/{token}/revoke")
    @requires(Role.VIEWER, narrows=True)
    async def post_revoke(token: str, caller: CallerDep, session: SessionDep) -> Response:
        await tokens.revoke(session, caller, token, context.clock())
        return RedirectResponse("/account", 303)

    @routes.post("/password")
    @requires(Role.VIEWER, narrows=True)
    async def post_password(
        caller: CallerDep,
        request: Request,
        passwords: PasswordsDep,
        address: AddressDep,
        present: Annotated[str, Form()] = "",
        new: Annotated[str, Form()] = "",
    ) -> Response:
        try:
            await sign_in.check_password(
                context, passwords, name=caller.person, password=present, address=address
            )
            encoded = await passwords.hash(new)
        except LamplighterError as error:
            return await page(caller, error=error)
        async with context.database.transaction(request.state.actor) as session:
            await service.set_password(session, caller.person, encoded)
        return RedirectResponse("/sign-in", 303)

    @routes.post("/sign-out-everywhere")
    @requires(Role.VIEWER, narrows=True)
    async def post_everywhere(caller: CallerDep, session: SessionDep) -> Response:
        await service.end_sessions(session, caller.person)
        return RedirectResponse("/sign-in", 303)

    return routes
