"""The page on which boards are let in that ask with a claim."""

from typing import Annotated

from fastapi import APIRouter, Form, Request
from fastapi.responses import HTMLResponse, RedirectResponse, Response

from lamplighter_protocol.errors import LamplighterError
from lamplighter_server.claims import service
from lamplighter_server.console.pages import Pages
from lamplighter_server.context import Context
from lamplighter_server.edge import CallerDep
from lamplighter_server.people.access import Caller, Role, requires

PAGE = "/console/waiting"


def router(context: Context, pages: Pages) -> APIRouter:
    """The routes of that page."""
    routes = APIRouter(prefix=PAGE, include_in_schema=False)

    async def page(caller: Caller, error: LamplighterError | None = None) -> HTMLResponse:
        async with context.database.reading() as session:
            rows = await service.pending(session, context.clock(), caller.scope)
        html = pages.render(
            "waiting.html",
            here=PAGE,
            me=caller,
            boards=rows,
            may_decide=caller.role.includes(Role.OPERATOR),
            error=error,
        )
        return HTMLResponse(html, error.entry.http_status if error is not None else 200)

    @routes.get("")
    @requires(Role.VIEWER, narrows=True)
    async def get_waiting(caller: CallerDep) -> HTMLResponse:
        return await page(caller)

    @routes.post("/{fingerprint}/approve")
    @requires(Role.OPERATOR, narrows=True)
    async def post_approve(
        fingerprint: str,
        request: Request,
        caller: CallerDep,
        replace: Annotated[bool, Form()] = False,
    ) -> Response:
        now_utc = context.clock()
        try:
            async with context.database.transaction(request.state.actor) as session:
                row = await service.get(session, fingerprint, now_utc, caller.scope)
                await service.approve(session, row, {}, now_utc, replace=replace)
        except LamplighterError as error:
            return await page(caller, error)
        return RedirectResponse(PAGE, 303)

    @routes.post("/{fingerprint}/reject")
    @requires(Role.OPERATOR, narrows=True)
    async def post_reject(fingerprint: str, request: Request, caller: CallerDep) -> Response:
        now_utc = context.clock()
        try:
            async with context.database.transaction(request.state.actor) as session:
                row = await service.get(session, fingerprint, now_utc, caller.scope)
                service.reject(row, now_utc)
        except LamplighterError as error:
            return await page(caller, error)
        return RedirectResponse(PAGE, 303)

    return routes
