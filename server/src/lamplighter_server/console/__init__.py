"""The fleet console: server-rendered, live through server-sent events (ADR 6)."""

from fastapi import FastAPI

from lamplighter_server.console.endpoints import Console, StaticFilesOfOurs, router
from lamplighter_server.console.pages import STATIC
from lamplighter_server.context import Context


def mount(app: FastAPI, context: Context) -> None:
    """Add the console to the people's door: `/`, `/console/...` and `/api/v1/stream`."""
    app.include_router(router(Console(context)))
    app.mount("/console/static", StaticFilesOfOurs(directory=STATIC), name="console")
