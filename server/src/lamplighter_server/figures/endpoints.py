"""HTTP of the figures."""

from fastapi import APIRouter
from pydantic import BaseModel

from lamplighter_server.edge import ContextDep
from lamplighter_server.people.access import Role, requires

router = APIRouter(prefix="/api/v1/figures", tags=["figures"])


class FiguresView(BaseModel):
    """Totals since the start of the server, and of the broker for its own."""

    server_published_bytes: int
    ingested_messages: int
    refused: dict[str, int]
    broker_sent_bytes: int
    broker_received_bytes: int


@router.get("")
@requires(Role.VIEWER)
async def get_figures(context: ContextDep) -> FiguresView:
    """What this server has counted."""
    figures = context.figures
    return FiguresView(
        server_published_bytes=figures.published_bytes,
        ingested_messages=figures.ingested_messages,
        refused=dict(figures.refused),
        broker_sent_bytes=figures.broker_sent_bytes,
        broker_received_bytes=figures.broker_received_bytes,
    )
