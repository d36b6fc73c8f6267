"""The guard of the people's door: host, origin and caller, before a body is read."""

from functools import partial
from http.cookies import CookieError, SimpleCookie
from typing import Final
from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.responses import RedirectResponse, Response
from starlette.types import ASGIApp, Receive, Scope, Send

from lamplighter_protocol.errors import LamplighterError
from lamplighter_server.errors import answer
from lamplighter_server.people.access import SAFE_METHODS, Caller
from lamplighter_server.people.credentials import Credentials

#: What people reach who are not signed in; each of these routes declares `anybody`.
PUBLIC: Final = frozenset(
    {"/sign-in", "/sign-in/link", "/sign-in/provider", "/sign-in/callback", "/api/v1/sign-in"}
)
STATIC: Final = "/console/static/"


def check_host(headers: Headers, hosts: frozenset[str]) -> None:
    """Refuse foreign names, so that no web page elsewhere reaches us by DNS rebinding.

    Raises:
        LamplighterError: HOST_REFUSED.
    """
    host = _host_name(headers.get("host", ""))
    if host not in hosts:
        raise LamplighterError("HOST_REFUSED", f"This server is not called {host!r}.")


def check_origin(method: str, headers: Headers) -> None:
    """Refuse changes that another site makes a browser send.

    Raises:
        LamplighterError: CSRF_REFUSED.
    """
    if method in SAFE_METHODS:
        return
    site = headers.get("sec-fetch-site", "same-origin")
    origin = headers.get("origin")
    if site != "same-origin" or (
        origin is not None and urlsplit(origin).netloc != headers.get("host")
    ):
        raise LamplighterError("CSRF_REFUSED", "The request comes from another site.")


def bearer_of(headers: Headers) -> str | None:
    """The token of a request; None without an Authorization header.

    Raises:
        LamplighterError: NOT_AUTHORISED for anything but a bearer token.
    """
    given = headers.get("authorization")
    if given is None:
        return None
    scheme, _, token = given.partition(" ")
    if scheme.lower() != "bearer":
        raise LamplighterError("NOT_AUTHORISED", "Only bearer tokens are understood.")
    return token


def cookie_of(headers: Headers, name: str) -> str | None:
    """One cookie of a request."""
    try:
        cookie = SimpleCookie(headers.get("cookie", ""))
    except CookieError:
        return None
    return cookie[name].value if name in cookie else None


class Guard:
    """ASGI middleware: nobody passes unknown, except to where people sign in.

    What a caller may do is decided after routing, by what the endpoint declares.
    """

    def __init__(
        self, app: ASGIApp, credentials: Credentials, hosts: frozenset[str], cookie: str
    ) -> None:
        self._app = app
        self._credentials = credentials
        self._hosts = hosts
        self._cookie = cookie

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Admit, then pass on or refuse."""
        if scope["type"] == "http":
            try:
                caller = await self._admit(scope["method"], Headers(scope=scope))
                if caller is None and not _is_public(scope["path"]):
                    raise LamplighterError("NOT_AUTHORISED", "Nobody is signed in.")
            except LamplighterError as error:
                await _refuse(error, scope)(scope, receive, send)
                return
            state = scope.setdefault("state", {})
            state["caller"] = caller
            state["caller_now"] = partial(self._recognise, Headers(scope=scope), note=False)
            if caller is not None:
                state["actor"] = caller.actor
        await self._app(scope, receive, send)

    async def _admit(self, method: str, headers: Headers) -> Caller | None:
        check_host(headers, self._hosts)
        caller = await self._recognise(headers)
        if "authorization" not in headers:
            check_origin(method, headers)
        elif caller is None:
            raise LamplighterError("NOT_AUTHORISED", "The token is unknown or has ended.")
        return caller

    async def _recognise(self, headers: Headers, *, note: bool = True) -> Caller | None:
        token = bearer_of(headers)
        if token is not None:
            return await self._credentials.by_token(token, note=note)
        secret = cookie_of(headers, self._cookie)
        if secret is not None:
            return await self._credentials.by_session(secret, note=note)
        return None


def _is_public(path: str) -> bool:
    return path in PUBLIC or path.startswith(STATIC)


def _refuse(error: LamplighterError, scope: Scope) -> Response:
    """A person who opens a page is led to where they can sign in."""
    wants_page = "text/html" in Headers(scope=scope).get("accept", "")
    if scope["method"] == "GET" and wants_page and error.code == "NOT_AUTHORISED":
        return RedirectResponse("/sign-in", 303)
    return answer(error)


def _host_name(header: str) -> str:
    """The host without its port; an IPv6 address without its brackets."""
    if header.startswith("["):
        return header[1:].partition("]")[0]
    return header.partition(":")[0].lower()
