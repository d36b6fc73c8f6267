"""From facts to what the templates draw: pure."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any, Final, Literal, NamedTuple

from lamplighter_server.alerts.models import Alert
from lamplighter_server.console import lamps, plots
from lamplighter_server.console.reading import Facts, Observed
from lamplighter_server.devices.views import DeviceModelView, DeviceView
from lamplighter_server.drift.service import site_of
from lamplighter_server.releases.models import Release
from lamplighter_server.rollouts.states import FAILED
from lamplighter_server.rollouts.views import PlaceView, RolloutDetailView

MAX_NAMED_CELLS: Final = 24
"""Up to this many devices, a rollout's cells carry the devices' names."""
MAX_FAILURES: Final = 6


class Cell(NamedTuple):
    """One device in a wave."""

    device: str
    lamp: str
    words: str


class Wave(NamedTuple):
    """One wave, numbered from 1."""

    number: int
    devices: int
    committed: int
    standing: str
    """`done`, `open`, `to come` or `stopped`."""
    cells: list[Cell]


class RolloutPicture(NamedTuple):
    """A rollout as a row of waves."""

    rollout: RolloutDetailView
    named: bool
    waves: list[Wave]
    legend: list[tuple[str, int]]
    """(lamp, devices), only the lamps that occur."""
    committed: int
    devices: int
    failures: list[PlaceView]
    more_failures: int


class Run(NamedTuple):
    """One model on one device."""

    item: DeviceModelView
    running: str
    """The lamp of the release that answers."""
    attempt: str | None
    """The lamp of an attempt that tells more."""


class Row(NamedTuple):
    """One device in the fleet."""

    device: DeviceView
    link: Literal["online", "offline", "revoked"]
    seen_utc: datetime | None
    labels: list[tuple[str, str]]
    runs: list[Run]
    attention: bool
    search: str


class Site(NamedTuple):
    """The devices of one site."""

    name: str
    online: int
    rows: list[Row]
    plots: list[tuple[str, plots.Plot]]
    """(model and release, its predictions)."""


class AlertPicture(NamedTuple):
    """An alert, with a picture of what moved where there is one."""

    alert: Alert
    since_utc: datetime
    """Since when what it tells of has been so."""
    plot: plots.Plot | None


class ReleaseLine(NamedTuple):
    """A release with its names and variants."""

    release: Release
    aliases: list[str]
    devices: int
    """How many run it."""
    variants: list[tuple[str, float | None, int | None]]
    """(name, accuracy 0 to 1, size in bytes)."""


class Summary(NamedTuple):
    """The fleet in four numbers."""

    devices: int
    online: int
    updating: int
    attention: int


def rollout_picture(rollout: RolloutDetailView) -> RolloutPicture:
    """The waves with their cells, and who failed."""
    places = [place for place in rollout.devices if place.state != "skipped"]
    cells: dict[int, list[Cell]] = defaultdict(list)
    count = dict.fromkeys(lamps.WORDS, 0)
    for place in places:
        cell = _cell(place)
        cells[place.wave].append(cell)
        count[cell.lamp] += 1
    failures = [place for place in places if place.state in FAILED]
    return RolloutPicture(
        rollout=rollout,
        named=len(places) <= MAX_NAMED_CELLS,
        waves=[
            Wave(
                wave.wave + 1,
                wave.devices,
                wave.committed,
                _standing(rollout, wave.wave),
                cells[wave.wave],
            )
            for wave in rollout.waves
        ],
        legend=[(state, devices) for state, devices in count.items() if devices],
        committed=count["committed"] + count["shadowed"],
        devices=len(places),
        failures=failures[:MAX_FAILURES],
        more_failures=len(failures[MAX_FAILURES:]),
    )


def _cell(place: PlaceView) -> Cell:
    lamp = lamps.of_place(place.state, place.phase)
    words = place.phase if lamp == "updating" and place.phase else lamps.WORDS[lamp]
    return Cell(place.device, lamp, f"{words}: {place.reason}" if place.reason else words)


def _standing(rollout: RolloutDetailView, wave: int) -> str:
    if rollout.status == "succeeded" or wave < rollout.wave:
        return "done"
    if rollout.status in {"aborting", "aborted"}:
        return "stopped" if wave == rollout.wave else "not opened"
    return "open" if wave == rollout.wave and rollout.status == "running" else "to come"


def sites(devices: Iterable[DeviceView], observed: Sequence[Observed]) -> list[Site]:
    """The fleet by site, in the order of their names."""
    members: dict[str, list[Row]] = defaultdict(list)
    for device in devices:
        members[site_of(device.labels)].append(_row(device))
    drawn: dict[str, list[tuple[str, plots.Plot]]] = defaultdict(list)
    for item in observed:
        name = f"{item.manifest.model} {item.manifest.release}"
        drawn[item.site].append((name, plots.predictions(item.manifest, item.counts)))
    return [
        Site(site, sum(row.device.online for row in rows), rows, drawn[site])
        for site, rows in sorted(members.items())
    ]


def _row(device: DeviceView) -> Row:
    runs = [Run(item, lamps.of_running(item), lamps.of_attempt(item)) for item in device.models]
    attention = device.problem is not None or any(run.attempt in lamps.ATTENTION for run in runs)
    labels = sorted(device.labels.items())
    link: Literal["online", "offline", "revoked"] = (
        "revoked" if device.revoked_utc else "online" if device.online else "offline"
    )
    words = [device.id, link, *(f"{k}={v}" for k, v in labels)]
    words += ["attention"] if attention else []
    for run in runs:
        words += [run.item.model, f"{run.item.model}@{run.item.release}", lamps.WORDS[run.running]]
        words += [lamps.WORDS[run.attempt]] if run.attempt else []
        causes = (run.item.failure, run.item.waiting)
        words += [cause.code for cause in causes if cause is not None]
    return Row(
        device=device,
        link=link,
        seen_utc=_seen(device),
        labels=[label for label in labels if label[0] != "site"],
        runs=runs,
        attention=attention,
        search=" ".join(words).lower(),
    )


def _seen(device: DeviceView) -> datetime | None:
    """When a device was last heard; to the minute while it is online, so that the page rests."""
    if device.last_seen_utc is None or not device.online:
        return device.last_seen_utc
    return device.last_seen_utc.replace(second=0, microsecond=0)


def summary(fleet: Iterable[Site]) -> Summary:
    """Count what a person asks first."""
    rows = [row for site in fleet for row in site.rows]
    lit = [{lamp for run in row.runs for lamp in (run.running, run.attempt)} for row in rows]
    return Summary(
        devices=len(rows),
        online=sum(row.device.online for row in rows),
        updating=sum(bool(states & {"updating", "probation"}) for states in lit),
        attention=sum(row.attention for row in rows),
    )


def alert_pictures(alerts: Iterable[Alert], observed: Sequence[Observed]) -> list[AlertPicture]:
    """Each alert with the column that moved most, as it is counted now."""
    return [AlertPicture(alert, _since(alert), _moved(alert.details, observed)) for alert in alerts]


def _since(alert: Alert) -> datetime:
    since_utc = alert.details.get("since_utc")
    return datetime.fromisoformat(since_utc) if since_utc else alert.opened_utc


def _moved(details: dict[str, Any], observed: Sequence[Observed]) -> plots.Plot | None:
    place = (details.get("site"), details.get("model"), details.get("release"))
    for item in observed:
        if (item.site, item.manifest.model, item.manifest.release) == place:
            for column in details.get("columns", [])[:1]:
                return plots.column(item.manifest, item.counts, column["column"])
    return None


def release_lines(facts: Facts) -> list[ReleaseLine]:
    """The releases, the newest of each model first, with what was measured."""
    running: dict[tuple[str, int | None], int] = defaultdict(int)
    for device in facts.devices:
        for item in device.models:
            running[item.model, item.release] += 1
    called: dict[tuple[str, int], list[str]] = defaultdict(list)
    for alias in facts.aliases:
        called[alias.model, alias.release].append(alias.name)
    newest_first = sorted(facts.releases, key=lambda row: (row.model, -row.number))
    return [
        ReleaseLine(
            row,
            called[row.model, row.number],
            running[row.model, row.number],
            _variants(row.evidence),
        )
        for row in newest_first
    ]


def _variants(evidence: dict[str, Any]) -> list[tuple[str, float | None, int | None]]:
    """What the evidence says of each variant; it is signed, but free in form."""
    measured = evidence.get("variants")
    if not isinstance(measured, dict):
        return []
    return [
        (name, _number(figures.get("accuracy")), _number(figures.get("size_bytes")))
        for name, figures in sorted(measured.items())
        if isinstance(figures, dict)
    ]


def _number(value: Any) -> Any:  # noqa: ANN401 - whatever JSON holds
    return value if isinstance(value, int | float) else None
