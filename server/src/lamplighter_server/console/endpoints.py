"""HTTP of the console: the page, the live stream, the details of a device, the static files."""

import asyncio
import logging
from collections.abc import AsyncIterator
from typing import Annotated, Any, Final

import msgspec
from fastapi import APIRouter, Header, Query
from fastapi.responses import HTMLResponse, Response, StreamingResponse
from fastapi.staticfiles import StaticFiles
from sqlalchemy.exc import SQLAlchemyError
from starlette.types import Receive, Scope, Send

from lamplighter_protocol.errors import LamplighterError
from lamplighter_server.audit import service as audit
from lamplighter_server.console import pages, reading
from lamplighter_server.console.pages import Pages, Snapshot
from lamplighter_server.console.shared import Shared
from lamplighter_server.context import Context

READ_INTERVAL_S: Final = 1.0
"""The database is asked at most this often for all tabs together."""
OBSERVED_INTERVAL_S: Final = 10.0
"""Merging windows costs more than reading states, and says less per second."""
LOOK_INTERVAL_S: Final = 0.4
"""How often a stream looks at the shared snapshot; it costs a comparison."""
BEAT_S: Final = 10.0
"""A page that hears nothing for three beats says so."""
RETRY_MS: Final = 2000
AUDIT_LINES: Final = 100

HEADERS: Final = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; "
        "connect-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
}
_FRESH: Final = {**HEADERS, "Cache-Control": "no-store"}
_log = logging.getLogger(__name__)


class EventStream(StreamingResponse):
    """A response that has no end of its own."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Stream until the reader leaves or the server stops."""
        try:
            await super().__call__(scope, receive, send)
        except asyncio.CancelledError:
            # Only a server that stops cancels what is open; finished properly, it is no fault.
            await send({"type": "http.response.body", "body": b"", "more_body": False})


class Console:
    """The page and its stream over one shared reading of the fleet."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._pages = Pages(context.settings.fleet)
        self._observed = Shared(lambda: reading.observed(context), OBSERVED_INTERVAL_S)
        self._snapshot = Shared(self._read, READ_INTERVAL_S)

    async def _read(self) -> Snapshot:
        facts = await reading.facts(self._context)
        return self._pages.snapshot(facts, await self._observed.latest())

    async def page(self) -> str:
        """The page as it is now."""
        return self._pages.page(await self._snapshot.latest())

    async def device(self, name: str) -> str:
        """The details of one device.

        Raises:
            LamplighterError: DEVICE_UNKNOWN.
        """
        return self._pages.device(await reading.device(self._context, name))

    async def audit(self, actor: str, subject: str, before: int | None) -> str:
        """The newest lines of the audit log, or those below a sequence."""
        async with self._context.database.reading() as session:
            lines = await audit.ls(
                session,
                actor=actor or None,
                subject=subject or None,
                before=before,
                limit=AUDIT_LINES,
            )
        return self._pages.audit(lines, actor=actor, subject=subject, limit=AUDIT_LINES)

    async def stream(self, shown: str) -> AsyncIterator[bytes]:
        """Server-sent events: `change` when something did, `beat` while nothing does.

        Args:
            shown: The digest of what the page shows already.
        """
        loop = asyncio.get_running_loop()
        before: Snapshot | None = None
        beat_at_mono = 0.0
        yield f"retry: {RETRY_MS}\n\n".encode()
        while True:
            try:
                now = await self._snapshot.latest()
            except (SQLAlchemyError, LamplighterError):
                _log.exception("The console cannot read the fleet; the page will ask again")
                return
            if now.digest != shown:
                yield _event("change", pages.change(before, now), now.digest)
                shown, beat_at_mono = now.digest, loop.time() + BEAT_S
            elif loop.time() >= beat_at_mono:
                yield _event("beat", {})
                beat_at_mono = loop.time() + BEAT_S
            before = now
            await asyncio.sleep(LOOK_INTERVAL_S)


def router(console: Console) -> APIRouter:
    """The routes of one console."""
    routes = APIRouter(include_in_schema=False)

    @routes.get("/")
    async def get_page() -> HTMLResponse:
        return HTMLResponse(await console.page(), headers=_FRESH)

    @routes.get("/console/devices/{device}")
    async def get_device(device: str) -> HTMLResponse:
        return HTMLResponse(await console.device(device), headers=_FRESH)

    @routes.get("/console/audit")
    async def get_audit(
        actor: str = "",
        subject: str = "",
        before: Annotated[int | None, Query(ge=1)] = None,
    ) -> HTMLResponse:
        page = await console.audit(actor.strip(), subject.strip(), before)
        return HTMLResponse(page, headers=_FRESH)

    @routes.get("/api/v1/stream")
    async def get_stream(
        shown: str = "", last_event_id: Annotated[str, Header()] = ""
    ) -> EventStream:
        events = console.stream(last_event_id or shown)
        return EventStream(events, media_type="text/event-stream", headers=_FRESH)

    return routes


class StaticFilesOfOurs(StaticFiles):
    """Static files with the headers of the page; the browser asks whether they have changed."""

    def file_response(self, *args: Any, **kwargs: Any) -> Response:  # noqa: ANN401 - Starlette's
        """Answer a file."""
        answer = super().file_response(*args, **kwargs)
        answer.headers.update({**HEADERS, "Cache-Control": "no-cache"})
        return answer


def _event(name: str, body: Any, event_id: str = "") -> bytes:  # noqa: ANN401 - any JSON
    head = f"id: {event_id}\n" if event_id else ""
    return f"{head}event: {name}\ndata: ".encode() + msgspec.json.encode(body) + b"\n\n"
