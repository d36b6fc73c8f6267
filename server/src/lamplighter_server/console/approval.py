"""The page on which somebody else than its authors approves a rollout."""

from typing import Annotated

from fastapi import APIRouter, Form
from fastapi.responses import HTMLResponse, RedirectResponse, Response

from lamplighter_protocol.errors import LamplighterError
from lamplighter_server.console.pages import Pages
from lamplighter_server.context import Context
from lamplighter_server.edge import CallerDep, SessionDep
from lamplighter_server.people.access import Caller, Role, requires
from lamplighter_server.rollouts import service
from lamplighter_server.rollouts.models import Rollout
from lamplighter_server.rollouts.views import RolloutDetailView, detail


def obstacle(rollout: Rollout, caller: Caller) -> str:
    """Why this caller cannot approve this rollout; empty if they can."""
    if rollout.status != "draft":
        return f"The rollout is {rollout.status}."
    if caller.person in rollout.authors:
        return "You have planned it; somebody else approves it."
    if not caller.role.includes(Role.APPROVER):
        return f"You are {caller.role}; an approver or an admin approves it."
    return ""


def router(context: Context, pages: Pages) -> APIRouter:
    """The routes of that page."""
    routes = APIRouter(prefix="/console/rollouts", include_in_schema=False)

    def page(
        row: Rollout,
        view: RolloutDetailView,
        caller: Caller,
        error: LamplighterError | None = None,
    ) -> HTMLResponse:
        html = pages.render(
            "approval.html",
            me=caller,
            rollout=view,
            obstacle=obstacle(row, caller),
            error=error,
        )
        return HTMLResponse(html, error.entry.http_status if error is not None else 200)

    @routes.get("/{rollout}")
    @requires(Role.VIEWER, narrows=True)
    async def get_approval(rollout: str, caller: CallerDep, session: SessionDep) -> HTMLResponse:
        row = await service.find(session, rollout, caller)
        return page(row, detail(row, await service.places(session, rollout)), caller)

    @routes.post("/{rollout}/approve")
    @requires(Role.APPROVER, narrows=True)
    async def post_approve(
        rollout: str,
        caller: CallerDep,
        session: SessionDep,
        revision: Annotated[int, Form()],
    ) -> Response:
        try:
            await service.approve(context, session, caller, rollout, revision)
        except LamplighterError as error:
            row = await service.find(session, rollout, caller)
            return page(row, detail(row, await service.places(session, rollout)), caller, error)
        return RedirectResponse(f"/console/rollouts/{rollout}", 303)

    return routes
