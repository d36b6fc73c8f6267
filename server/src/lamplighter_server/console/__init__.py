"""The fleet console: server-rendered, live through server-sent events (ADR 6)."""

from fastapi import FastAPI

from lamplighter_server.console import account, approval, doorway, waiting
from lamplighter_server.console.endpoints import Console, StaticFilesOfOurs, router
from lamplighter_server.console.pages import STATIC, Pages
from lamplighter_server.context import Context


def mount(app: FastAPI, context: Context) -> None:
    """Add the console to the people's door: the fleet, the doorway, a person's own pages."""
    pages = Pages(context.settings.fleet)
    app.include_router(router(Console(context, pages)))
    app.include_router(doorway.router(context, pages))
    app.include_router(account.router(context, pages))
    app.include_router(approval.router(context, pages))
    app.include_router(waiting.router(context, pages))
    app.mount("/console/static", StaticFilesOfOurs(directory=STATIC), name="console")
