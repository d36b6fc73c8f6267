"""How much a request may carry."""

from typing import Final

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from lamplighter_protocol.errors import LamplighterError
from lamplighter_server.errors import answer

#: Files are streamed to disk with a limit of their own (blobs.objects).
STREAMED: Final = "/api/v1/blobs/"


class BodyLimit:
    """ASGI middleware that reads a body up to its limit before anything else sees it."""

    def __init__(self, app: ASGIApp, max_bytes: int) -> None:
        self._app = app
        self._max_bytes = max_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Read the body, then pass it on whole or refuse it."""
        if scope["type"] != "http" or scope["path"].startswith(STREAMED):
            await self._app(scope, receive, send)
            return
        body, more = b"", True
        while more:
            message = await receive()
            if message["type"] == "http.disconnect":
                return
            body += message.get("body", b"")
            more = message.get("more_body", False)
            if len(body) > self._max_bytes:
                error = LamplighterError(
                    "MESSAGE_TOO_LARGE", f"A request may carry {self._max_bytes} bytes."
                )
                await answer(error)(scope, receive, send)
                return
        first: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

        async def replay() -> Message:
            return first.pop() if first else await receive()

        await self._app(scope, replay, send)
