"""Who may do what at the people's door, in its first form: readers are free, writers have a token.

The door listens on loopback only. The Host header is checked, so that a web page elsewhere
cannot reach it through the browser of somebody who is near (DNS rebinding).
"""

import hmac
import secrets
from pathlib import Path
from typing import Final

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from lamplighter_protocol.errors import LamplighterError
from lamplighter_server.actor import Actor
from lamplighter_server.errors import answer
from lamplighter_server.files import write_durably

LOOPBACK: Final = frozenset({"127.0.0.1", "localhost", "::1"})
ADMIN: Final = Actor("token", "admin")
SAFE_METHODS: Final = frozenset({"GET", "HEAD", "OPTIONS"})


def load_or_create_token(path: Path) -> str:
    """The token that every change needs; made at the first start, readable by its owner only."""
    if not path.exists():
        write_durably(path, secrets.token_urlsafe(32).encode() + b"\n")
    return path.read_text().strip()


def check_request(method: str, headers: Headers, *, token: str, hosts: frozenset[str]) -> None:
    """The verdict on a request, from its method and headers.

    Raises:
        LamplighterError: NOT_AUTHORISED.
    """
    host = _host_name(headers.get("host", ""))
    if host not in hosts:
        raise LamplighterError("NOT_AUTHORISED", f"This server is not called {host!r}.")
    if method in SAFE_METHODS:
        return
    scheme, _, given = headers.get("authorization", "").partition(" ")
    if scheme.lower() != "bearer" or not hmac.compare_digest(given.encode(), token.encode()):
        raise LamplighterError("NOT_AUTHORISED", "A change needs the server's token.")


class Guard:
    """ASGI middleware that lets only authorised requests through."""

    def __init__(self, app: ASGIApp, token: str, hosts: frozenset[str] = LOOPBACK) -> None:
        self._app = app
        self._token = token
        self._hosts = hosts

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Check, then pass on or refuse."""
        if scope["type"] == "http":
            try:
                check_request(
                    scope["method"], Headers(scope=scope), token=self._token, hosts=self._hosts
                )
            except LamplighterError as error:
                await answer(error)(scope, receive, send)
                return
            scope.setdefault("state", {})["actor"] = ADMIN
        await self._app(scope, receive, send)


def _host_name(header: str) -> str:
    """The host without its port; an IPv6 address without its brackets."""
    if header.startswith("["):
        return header[1:].partition("]")[0]
    return header.partition(":")[0].lower()
