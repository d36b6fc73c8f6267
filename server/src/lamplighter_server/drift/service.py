"""Judges the fleet at fixed intervals and tells a person what moved, where and since when."""

from collections import defaultdict
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Final, NamedTuple

import msgspec
from sqlalchemy.ext.asyncio import AsyncSession

from lamplighter_protocol.bundle import Manifest
from lamplighter_protocol.counts import Counts
from lamplighter_server.alerts import service as alerts
from lamplighter_server.context import Context
from lamplighter_server.devices import service as devices
from lamplighter_server.drift import repository
from lamplighter_server.drift.detectors import (
    Comparison,
    Verdict,
    compare,
    detect,
    family_level,
    lone_device,
    since,
)
from lamplighter_server.drift.models import DriftMark
from lamplighter_server.releases import service as releases
from lamplighter_server.telemetry import service as telemetry
from lamplighter_server.telemetry.models import WindowRow
from lamplighter_server.telemetry.selection import Selection

KIND: Final = "drift"
NO_SITE: Final = "-"
QUIET_DECISIONS: Final = 3
"""An alert ends after this many decisions in a row without anything that looks different."""
LOOK_BACK_INTERVALS: Final = 24
"""How far back the beginning of a drift is searched, in decision intervals."""
_SETTLE: Final = timedelta(seconds=2)
"""Windows received up to now may still be in a transaction for this long."""


class _Place(NamedTuple):
    model: str
    release: int
    site: str

    @property
    def alert_key(self) -> str:
        return f"{KIND}/{self.model}/{self.release}/{self.site}"


async def tick(context: Context) -> None:
    """Judge once everything that was received in the intervals closed since the last decision.

    Each stored window enters exactly one decision, also one that arrived late. A site with few
    rows waits until it has enough. All sites and releases of one decision are one family of tests
    under the fleet's budget of alarms. A tick that finds no newly closed interval does nothing.
    """
    interval = timedelta(seconds=context.settings.drift_interval_s)
    now_utc = context.clock()
    until = _closed_until(now_utc - _SETTLE, interval)
    async with context.database.transaction() as session:
        decided = await repository.last_decision(session)
        if decided is not None and decided >= until:
            return
        fresh = await telemetry.windows(
            session, Selection(received_since=decided, received_until=until)
        )
        marks = {
            place: await _gather(context, session, place, rows, until)
            for place, rows in (await _by_place(session, fresh)).items()
        }
        manifests = {
            place: await releases.load_manifest(context, session, place.model, place.release)
            for place in marks
        }
        samples = {place: (manifests[place], _pending(mark)) for place, mark in marks.items()}
        level = family_level(context.settings.drift_alarms_per_day, interval.total_seconds())
        for place, verdict in detect(samples, level=level).items():
            mark = marks[place]
            mark.pending = msgspec.msgpack.encode(Counts.zero(manifests[place]))
            mark.quiet_decisions = mark.quiet_decisions + 1 if verdict.quiet else 0
            if verdict.findings:
                history = await _history(session, place, until - _look_back(context))
                await _raise_alert(session, place, manifests[place], verdict, history, now_utc)
            elif mark.quiet_decisions >= QUIET_DECISIONS:
                await alerts.resolve(session, place.alert_key, now_utc)


class SiteReport(NamedTuple):
    """One site against the reference, whatever the verdict."""

    site: str
    rows: int
    devices: list[str]
    since_utc: datetime
    columns: list[Comparison]


async def report(
    context: Context,
    session: AsyncSession,
    *,
    model: str,
    release: int,
    since: datetime | None = None,
) -> list[SiteReport]:
    """Compare each site with the reference; nothing is stored and no alert is opened.

    Raises:
        LamplighterError: NOT_FOUND if there is no such release.
    """
    manifest = await releases.load_manifest(context, session, model, release)
    since = since or context.clock() - _look_back(context)
    rows = await telemetry.windows(session, Selection(model=model, release=release, since=since))
    reports = []
    for place, members in sorted((await _by_place(session, rows)).items()):
        counts = telemetry.merge(manifest, members)
        columns = sorted(compare(manifest, counts), key=lambda item: -item.effect)
        names = sorted({row.device for row in members})
        reports.append(SiteReport(place.site, counts.rows, names, since, columns))
    return reports


def _look_back(context: Context) -> timedelta:
    return LOOK_BACK_INTERVALS * timedelta(seconds=context.settings.drift_interval_s)


def _closed_until(moment: datetime, interval: timedelta) -> datetime:
    seconds = interval.total_seconds()
    return datetime.fromtimestamp(moment.timestamp() // seconds * seconds, UTC)


async def _by_place(
    session: AsyncSession, rows: Sequence[WindowRow]
) -> dict[_Place, list[WindowRow]]:
    sites = {device.id: site_of(device.labels) for device in await devices.ls(session)}
    places: dict[_Place, list[WindowRow]] = defaultdict(list)
    for row in rows:
        places[_Place(row.model, row.release, sites[row.device])].append(row)
    return places


def site_of(labels: dict[str, str]) -> str:
    """The site of a device; `-` for devices without one."""
    return labels.get("site", NO_SITE)


async def _gather(
    context: Context,
    session: AsyncSession,
    place: _Place,
    rows: Sequence[WindowRow],
    until: datetime,
) -> DriftMark:
    """Add newly received windows to what is pending at a place."""
    manifest = await releases.load_manifest(context, session, place.model, place.release)
    fresh = telemetry.merge(manifest, rows)
    mark = await repository.find_mark(session, *place)
    if mark is None:
        mark = DriftMark(
            model=place.model,
            release=place.release,
            site=place.site,
            pending=msgspec.msgpack.encode(fresh),
            quiet_decisions=0,
        )
        session.add(mark)
    else:
        mark.pending = msgspec.msgpack.encode(_pending(mark).merge(fresh))
    mark.decided_utc = until
    return mark


def _pending(mark: DriftMark) -> Counts:
    return msgspec.msgpack.decode(mark.pending, type=Counts)


async def _history(session: AsyncSession, place: _Place, earliest: datetime) -> Sequence[WindowRow]:
    members = [d.id for d in await devices.ls(session) if site_of(d.labels) == place.site]
    return await telemetry.windows(
        session,
        Selection(model=place.model, release=place.release, devices=members, since=earliest),
    )


async def _raise_alert(
    session: AsyncSession,
    place: _Place,
    manifest: Manifest,
    verdict: Verdict,
    history: Sequence[WindowRow],
    now_utc: datetime,
) -> None:
    by_start: dict[datetime, list[WindowRow]] = defaultdict(list)
    by_device: dict[str, list[WindowRow]] = defaultdict(list)
    for row in history:
        by_start[row.start_utc].append(row)
    windows = {start: telemetry.merge(manifest, rows) for start, rows in by_start.items()}
    first = verdict.findings[0]
    since_utc = since(manifest, windows, first) if windows else now_utc
    for row in history:
        if row.start_utc >= since_utc:
            by_device[row.device].append(row)
    counts = {device: telemetry.merge(manifest, rows) for device, rows in by_device.items()}
    alone = lone_device(manifest, counts, verdict.findings)
    await alerts.open_alert(
        session,
        kind=KIND,
        key=place.alert_key,
        sentence=_sentence(place, verdict.findings, since_utc, alone),
        command=f"lamplighter drift report {place.model}@{place.release} --site {place.site}",
        details={
            "model": place.model,
            "release": place.release,
            "site": place.site,
            "columns": [_column(item) for item in verdict.findings],
            "since_utc": since_utc.isoformat(),
            "devices": sorted(counts),
            "device": alone,
            "n": first.n,
        },
        now=now_utc,
    )


def _column(item: Comparison) -> dict[str, Any]:
    return {
        "column": item.column,
        "measure": item.measure,
        "effect": round(item.effect, 4),
        "p": item.p,
        "direction": item.direction,
        "n": item.n,
    }


def _sentence(
    place: _Place, findings: Sequence[Comparison], since_utc: datetime, alone: str | None
) -> str:
    moved = ", ".join(f"{item.column} ({item.direction}, {item.effect:.2f})" for item in findings)
    where = f"site {place.site}" if place.site != NO_SITE else "devices without a site"
    device = f" Only device {alone} shows it." if alone else ""
    return (
        f"At {where}, what {place.model} release {place.release} sees has moved away from its "
        f"reference since {since_utc:%Y-%m-%d %H:%M:%S}Z: {moved}.{device}"
    )
