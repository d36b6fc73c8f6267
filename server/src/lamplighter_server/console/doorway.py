"""Where people come in: with a password, a link from the terminal, or single sign-on."""

import hmac
import secrets
from datetime import timedelta
from typing import Annotated, Final

from fastapi import APIRouter, Form, Request
from fastapi.responses import HTMLResponse, RedirectResponse, Response

from lamplighter_protocol.errors import LamplighterError
from lamplighter_server.actor import SERVER, Actor
from lamplighter_server.console.pages import Pages
from lamplighter_server.context import Context
from lamplighter_server.edge import CallerDep
from lamplighter_server.people import service, sessions, sign_in, single_sign_on
from lamplighter_server.people.access import Role, anybody, requires
from lamplighter_server.people.endpoints import AddressDep, PasswordsDep
from lamplighter_server.people.identity import Flow
from lamplighter_server.people.models import User
from lamplighter_server.people.provider import CALLBACK, Provider

FLOW_LIFETIME: Final = timedelta(minutes=10)


class Doorway:
    """Starts and ends the sessions of browsers."""

    def __init__(self, context: Context, pages: Pages) -> None:
        self._context = context
        self._pages = pages
        self._cookie = sessions.cookie_name(context.settings)
        self._flow_cookie = f"{self._cookie}-flow"

    def page(self, error: LamplighterError | None = None, name: str = "") -> HTMLResponse:
        """The sign-in page; after a failure with what was wrong."""
        html = self._pages.render(
            "sign-in.html",
            error=error,
            name=name,
            provider=bool(self._context.settings.oidc_issuer),
        )
        return HTMLResponse(html, error.entry.http_status if error is not None else 200)

    async def enter(self, user: str, former: str | None) -> Response:
        """Start a session for somebody who has proved who they are."""
        context = self._context
        async with context.database.transaction(Actor("user", user)) as session:
            row = await service.get(session, user)
            secret = await sessions.start(session, row, former, context.clock())
        # A page, no redirect: the cookie is strict, and a browser that comes from elsewhere would
        # not send it along a chain of redirects. The page opens the console by itself.
        answer = HTMLResponse(self._pages.render("entered.html", user=user))
        self._set(answer, self._cookie, secret, sessions.ABSOLUTE, strict=True)
        return answer

    async def follow_link(self, key: str, former: str | None) -> Response:
        """Sign in with a link from the terminal."""
        context = self._context
        try:
            async with context.database.transaction() as session:
                user = await sessions.follow_link(session, context.settings, key, context.clock())
        except LamplighterError as error:
            return self.page(error)
        return await self.enter(user.name, former)

    async def ask_provider(self) -> Response:
        """Send the browser to the single sign-on provider."""
        flow = Flow(secrets.token_urlsafe(32))
        try:
            async with Provider(self._context) as provider:
                answer = RedirectResponse(provider.question(flow), 303)
        except LamplighterError as error:
            return self.page(error)
        self._set(answer, self._flow_cookie, flow.secret, FLOW_LIFETIME, strict=False)
        return answer

    async def hear_provider(self, request: Request) -> Response:
        """The browser comes back from the provider."""
        try:
            user = await self._redeem(request)
        except LamplighterError as error:
            answer: Response = self.page(error)
        else:
            answer = await self.enter(user.name, self.former(request))
        self._forget(answer, self._flow_cookie)
        return answer

    async def _redeem(self, request: Request) -> User:
        given, settings = request.query_params, self._context.settings
        flow = Flow(request.cookies.get(self._flow_cookie, ""))
        if not flow.secret or not hmac.compare_digest(
            given.get("state", "").encode(), flow.state.encode()
        ):
            raise LamplighterError(
                "SIGN_ON_REFUSED", "This browser has not asked to sign in, or too long ago."
            )
        if given.get("iss", settings.oidc_issuer) != settings.oidc_issuer:
            raise LamplighterError("SIGN_ON_REFUSED", "The answer comes from another issuer.")
        if "code" not in given:
            raise LamplighterError("SIGN_ON_REFUSED", "The provider has not let you in.")
        async with Provider(self._context) as provider:
            identity = await provider.redeem(given["code"], flow)
        async with self._context.database.transaction(SERVER) as session:
            return await single_sign_on.admit(self._context, session, identity)

    async def leave(self, request: Request) -> Response:
        """Sign this browser out."""
        async with self._context.database.transaction(request.state.actor) as session:
            await sessions.end(session, self.former(request) or "")
        answer = RedirectResponse("/sign-in", 303)
        self._forget(answer, self._cookie)
        return answer

    def former(self, request: Request) -> str | None:
        """The session that a browser has already."""
        return request.cookies.get(self._cookie)

    def _set(
        self, answer: Response, name: str, value: str, lifetime: timedelta, *, strict: bool
    ) -> None:
        answer.set_cookie(
            name,
            value,
            max_age=int(lifetime.total_seconds()),
            secure=self._context.settings.over_tls,
            httponly=True,
            samesite="strict" if strict else "lax",
        )

    def _forget(self, answer: Response, name: str) -> None:
        answer.delete_cookie(name, secure=self._context.settings.over_tls, httponly=True)


def router(context: Context, pages: Pages) -> APIRouter:
    """The routes of the doorway."""
    routes, doorway = APIRouter(include_in_schema=False), Doorway(context, pages)

    @routes.get("/sign-in")
    @anybody
    async def get_sign_in() -> HTMLResponse:
        return doorway.page()

    @routes.post("/sign-in")
    @anybody
    async def post_sign_in(
        request: Request,
        passwords: PasswordsDep,
        address: AddressDep,
        name: Annotated[str, Form()] = "",
        password: Annotated[str, Form()] = "",
    ) -> Response:
        try:
            await sign_in.check_password(
                context, passwords, name=name, password=password, address=address
            )
        except LamplighterError as error:
            return doorway.page(error, name)
        return await doorway.enter(name, doorway.former(request))

    @routes.get("/sign-in/link")
    @anybody
    async def get_link(request: Request, key: str = "") -> Response:
        return await doorway.follow_link(key, doorway.former(request))

    @routes.get("/sign-in/provider")
    @anybody
    async def get_provider() -> Response:
        return await doorway.ask_provider()

    @routes.get(CALLBACK)
    @anybody
    async def get_callback(request: Request) -> Response:
        return await doorway.hear_provider(request)

    @routes.post("/sign-out")
    @requires(Role.VIEWER, narrows=True)
    async def post_sign_out(request: Request, _caller: CallerDep) -> Response:
        return await doorway.leave(request)

    return routes
