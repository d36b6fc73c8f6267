"""Composes fetching from what was set: the ways, the pace and the budget."""

import ssl
import time
from collections.abc import Callable
from datetime import datetime

from lamplighter_agent.app.config import Settings
from lamplighter_agent.app.fetcher import Fetcher
from lamplighter_agent.app.meter import Meter
from lamplighter_agent.app.services import Tell
from lamplighter_agent.app.status import BudgetState
from lamplighter_agent.app.ways import Ways
from lamplighter_agent.core.budget import Budget, Pace, Period
from lamplighter_agent.link.broker_way import BrokerWay
from lamplighter_agent.link.chunks import MAX_STALLS
from lamplighter_agent.link.https_way import HttpsWay
from lamplighter_agent.ports.transport import Way
from lamplighter_agent.store.blobs import BlobStore
from lamplighter_agent.store.identity import Identity
from lamplighter_agent.store.spent import SpentFile


def make_fetcher(
    identity: Identity,
    settings: Settings,
    blobs: BlobStore,
    broker_way: BrokerWay,
    tls: ssl.SSLContext | None,
    tell: Tell,
    now_utc: Callable[[], datetime],
) -> Fetcher:
    """What brings files, as it was set; without TLS over the broker only."""
    ways: list[Way] = [broker_way]
    if tls is not None and settings.transport != "mqtt":
        patience_s = MAX_STALLS * settings.stall_s
        door = HttpsWay(identity.enrolment.url, tls, now_utc, patience_s=patience_s)
        ways = [door] if settings.transport == "https" else [broker_way, door]
    budget = None
    if settings.fetch_budget_mb:
        period: Period = "day" if settings.fetch_budget_period == "day" else "month"
        budget = Budget(int(settings.fetch_budget_mb * 1e6), period)
    file = SpentFile(settings.data.spent)
    meter = Meter(Pace(settings.fetch_rate_kb_s * 1e3), budget, file, now_utc, time.monotonic)
    return Fetcher(
        blobs,
        Ways(ways, tell.problem, time.monotonic),
        meter,
        announces=broker_way in ways,
        on_refused=tell.problem,
        on_wants=tell.changed,
    )


def budget_state(meter: Meter, now_utc: datetime) -> BudgetState | None:
    """What the status says of the budget; None without one."""
    budget, left_bytes = meter.budget, meter.left_bytes
    if budget is None or left_bytes is None:
        return None
    return BudgetState(
        left_bytes=left_bytes,
        size_bytes=budget.size_bytes,
        resets_utc=budget.resets_utc(now_utc),
    )
