"""What the console reads, through the services of the slices that own it."""

import logging
from collections import defaultdict
from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Final, NamedTuple

from lamplighter_protocol.bundle import Manifest
from lamplighter_protocol.counts import Counts
from lamplighter_protocol.errors import LamplighterError
from lamplighter_protocol.reported import Reported
from lamplighter_server.alerts import service as alerts
from lamplighter_server.alerts.models import Alert
from lamplighter_server.assignments import service as assignments
from lamplighter_server.assignments.models import Wanted
from lamplighter_server.claims import service as claims
from lamplighter_server.context import Context
from lamplighter_server.devices import service as devices
from lamplighter_server.devices.views import DeviceView, view
from lamplighter_server.drift.service import site_of
from lamplighter_server.people.access import Scope
from lamplighter_server.releases import service as releases
from lamplighter_server.releases.models import Alias, Release
from lamplighter_server.rollouts import service as rollouts
from lamplighter_server.rollouts.states import OPEN
from lamplighter_server.rollouts.views import RolloutDetailView, RolloutView, detail, summary
from lamplighter_server.telemetry import service as telemetry
from lamplighter_server.telemetry.models import EventRow, VitalsRow, WindowRow
from lamplighter_server.telemetry.selection import Selection

MAX_EARLIER_ROLLOUTS: Final = 6
MAX_EVENTS: Final = 8
OBSERVED_WINDOWS: Final = 3
"""How many windows of the fleet's length are drawn, and at least OBSERVED_AT_LEAST_S."""
OBSERVED_AT_LEAST_S: Final = 120
_log = logging.getLogger(__name__)


class Facts(NamedTuple):
    """All that the page shows, apart from what was observed."""

    alerts: Sequence[Alert]
    rollouts: Sequence[RolloutDetailView]
    """The open ones; without any, the newest."""
    earlier: Sequence[RolloutView]
    devices: Sequence[DeviceView]
    releases: Sequence[Release]
    aliases: Sequence[Alias]
    asking: int
    """Boards that ask to be let in."""


class Observed(NamedTuple):
    """The counts of one release at one site over the last windows."""

    site: str
    manifest: Manifest
    counts: Counts


class DeviceFacts(NamedTuple):
    """All that is known of one device."""

    device: DeviceView
    report: Reported | None
    vitals: VitalsRow | None
    events: Sequence[EventRow]


async def facts(context: Context, scope: Scope) -> Facts:
    """Read the present state inside a scope in one short transaction."""
    async with context.database.reading() as session:
        rows = await devices.ls(session, scope)
        open_alerts = await alerts.ls(session)
        if scope:
            open_alerts = alerts.within(open_alerts, {row.id for row in rows})
        all_rollouts = await rollouts.ls(session, scope)
        shown = [row for row in all_rollouts if row.status in OPEN] or all_rollouts[:1]
        details = [detail(row, await rollouts.places(session, row.id)) for row in shown]
        wanted: dict[str, list[Wanted]] = defaultdict(list)
        for item in await assignments.wanted(session):
            wanted[item.device].append(item)
        published = await releases.ls(session)
        called = await releases.aliases(session)
        asking = await claims.pending(session, context.clock(), scope)
    earlier = [summary(row) for row in all_rollouts if row not in shown]
    return Facts(
        alerts=open_alerts,
        rollouts=details,
        earlier=earlier[:MAX_EARLIER_ROLLOUTS],
        devices=[view(row, wanted[row.id]) for row in rows if row.retired_utc is None],
        releases=published,
        aliases=called,
        asking=len(asking),
    )


async def observed(context: Context, scope: Scope) -> Sequence[Observed]:
    """Merge the last windows by site, for each model the release with the most rows there.

    A release whose manifest is damaged has no picture; everything else must still be told.
    """
    window_s = context.settings.window_s
    look_back_s = max(OBSERVED_AT_LEAST_S, (OBSERVED_WINDOWS + 1) * window_s)
    since_utc = context.clock() - timedelta(seconds=look_back_s)
    async with context.database.reading() as session:
        seen = await devices.ls(session, scope)
        sites = {device.id: site_of(device.labels) for device in seen}
        groups: Mapping[tuple[str, str, int], list[WindowRow]] = defaultdict(list)
        for row in await telemetry.windows(session, Selection(since=since_utc)):
            if row.device in sites:
                groups[sites[row.device], row.model, row.release].append(row)
        found = []
        for (site, model, release), rows in sorted(groups.items()):
            try:
                manifest = await releases.load_manifest(context, session, model, release)
            except LamplighterError as error:
                _log.warning("Windows of %s release %d cannot be drawn: %s", model, release, error)
                continue
            found.append(Observed(site, manifest, telemetry.merge(manifest, rows)))
    largest = {(item.site, item.manifest.model): item for item in sorted(found, key=_rows)}
    return [item for item in found if largest[item.site, item.manifest.model] is item]


async def device(context: Context, name: str, scope: Scope) -> DeviceFacts:
    """Read everything about one device.

    Raises:
        LamplighterError: DEVICE_UNKNOWN, also outside the scope.
    """
    async with context.database.reading() as session:
        row = await devices.get(session, name, scope)
        wanted = await assignments.wanted(session, [name])
        vitals = {item.device: item for item in await telemetry.vitals(session)}
        events = await telemetry.events(session, devices=[name], limit=MAX_EVENTS)
    return DeviceFacts(view(row, wanted), devices.read_report(row), vitals.get(name), events)


def _rows(item: Observed) -> int:
    return item.counts.rows
