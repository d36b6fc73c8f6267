"""HTTP of the console: the page, the live stream, the details of a device, the static files."""

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Annotated, Any, Final

import msgspec
from fastapi import APIRouter, Header, Query, Request
from fastapi.responses import HTMLResponse, Response, StreamingResponse
from fastapi.staticfiles import StaticFiles
from sqlalchemy.exc import SQLAlchemyError
from starlette import types

from lamplighter_protocol.errors import LamplighterError
from lamplighter_server.audit import service as audit
from lamplighter_server.console import pages, reading
from lamplighter_server.console.pages import Pages, Snapshot
from lamplighter_server.console.shared import Shared
from lamplighter_server.context import Context
from lamplighter_server.edge import CallerDep
from lamplighter_server.people.access import Caller, Role, Scope, requires

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

_log = logging.getLogger(__name__)


class EventStream(StreamingResponse):
    """A response that has no end of its own."""

    async def __call__(self, scope: types.Scope, receive: types.Receive, send: types.Send) -> None:
        """Stream until the reader leaves or the server stops."""
        try:
            await super().__call__(scope, receive, send)
        except asyncio.CancelledError:
            # Only a server that stops cancels what is open; finished properly, it is no fault.
            await send({"type": "http.response.body", "body": b"", "more_body": False})


class Console:
    """The page and its stream over one shared reading of the fleet."""

    def __init__(self, context: Context, pages: Pages) -> None:
        self._context = context
        self._pages = pages
        self._snapshots: dict[Scope, Shared[Snapshot]] = {}

    def _snapshot(self, scope: Scope) -> Shared[Snapshot]:
        """One reading for everybody with the same scope; there are as many as admins gave out."""
        if scope not in self._snapshots:
            observed = Shared(lambda: reading.observed(self._context, scope), OBSERVED_INTERVAL_S)

            async def read() -> Snapshot:
                facts = await reading.facts(self._context, scope)
                return self._pages.snapshot(facts, await observed.latest())

            self._snapshots[scope] = Shared(read, READ_INTERVAL_S)
        return self._snapshots[scope]

    async def page(self, caller: Caller) -> str:
        """The page as it is now."""
        return self._pages.page(await self._snapshot(caller.scope).latest(), caller)

    async def device(self, name: str, scope: Scope) -> str:
        """The details of one device.

        Raises:
            LamplighterError: DEVICE_UNKNOWN.
        """
        return self._pages.device(await reading.device(self._context, name, scope))

    async def audit(self, caller: Caller, actor: str, subject: str, before: int | None) -> str:
        """The newest lines of the audit log, or those below a sequence."""
        async with self._context.database.reading() as session:
            lines = await audit.ls(
                session,
                actor=actor or None,
                subject=subject or None,
                before=before,
                limit=AUDIT_LINES,
            )
        return self._pages.audit(lines, caller, actor=actor, subject=subject, limit=AUDIT_LINES)

    async def stream(
        self, shown: str, caller: Caller, caller_now: Callable[[], Awaitable[Caller | None]]
    ) -> AsyncIterator[bytes]:
        """Server-sent events: `change` when something did, `beat` while nothing does.

        Args:
            shown: The digest of what the page shows already.
            caller: Who looks.
            caller_now: Asks again who that is; the stream ends when the answer has changed.
        """
        snapshot = self._snapshot(caller.scope)
        loop = asyncio.get_running_loop()
        before: Snapshot | None = None
        beat_at_mono = 0.0
        check_at_mono = loop.time() + BEAT_S
        yield f"retry: {RETRY_MS}\n\n".encode()
        while True:
            try:
                if loop.time() >= check_at_mono:
                    if await caller_now() != caller:
                        return
                    check_at_mono = loop.time() + BEAT_S
                now = await snapshot.latest()
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
    @requires(Role.VIEWER, narrows=True)
    async def get_page(caller: CallerDep) -> HTMLResponse:
        return HTMLResponse(await console.page(caller))

    @routes.get("/console/devices/{device}")
    @requires(Role.VIEWER, narrows=True)
    async def get_device(device: str, caller: CallerDep) -> HTMLResponse:
        return HTMLResponse(await console.device(device, caller.scope))

    @routes.get("/console/audit")
    @requires(Role.VIEWER)
    async def get_audit(
        caller: CallerDep,
        actor: str = "",
        subject: str = "",
        before: Annotated[int | None, Query(ge=1)] = None,
    ) -> HTMLResponse:
        return HTMLResponse(await console.audit(caller, actor.strip(), subject.strip(), before))

    @routes.get("/api/v1/stream")
    @requires(Role.VIEWER, narrows=True)
    async def get_stream(
        request: Request,
        caller: CallerDep,
        shown: str = "",
        last_event_id: Annotated[str, Header()] = "",
    ) -> EventStream:
        events = console.stream(last_event_id or shown, caller, request.state.caller_now)
        return EventStream(events, media_type="text/event-stream")

    return routes


class StaticFilesOfOurs(StaticFiles):
    """Static files; the browser asks whether they have changed."""

    def file_response(self, *args: Any, **kwargs: Any) -> Response:  # noqa: ANN401 - Starlette's
        """Answer a file."""
        answer = super().file_response(*args, **kwargs)
        answer.headers["Cache-Control"] = "no-cache"
        return answer


def _event(name: str, body: Any, event_id: str = "") -> bytes:  # noqa: ANN401 - any JSON
    head = f"id: {event_id}\n" if event_id else ""
    return f"{head}event: {name}\ndata: ".encode() + msgspec.json.encode(body) + b"\n\n"
