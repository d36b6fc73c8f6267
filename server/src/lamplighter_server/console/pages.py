"""Facts to HTML. First paint and live updates come from the same templates."""

import hashlib
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, Final, NamedTuple

import msgspec
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from lamplighter_server import __version__
from lamplighter_server.audit.chain import Line
from lamplighter_server.console import lamps, picture, plots
from lamplighter_server.console.reading import DeviceFacts, Facts, Observed
from lamplighter_server.people.access import Caller

_HERE: Final = Path(__file__).parent
#: Longer values of the audit log are cut; the command line and an export have them whole.
MAX_BRIEF: Final = 160
STATIC: Final = _HERE / "static"
Boxes = Mapping[str, Mapping[str, str]]
"""Box of the page to its parts in order: part id to HTML."""


class Snapshot(NamedTuple):
    """The live parts of the page at one moment."""

    digest: str
    boxes: Boxes


class Pages:
    """The templates of the console. Everything that is put into them is escaped."""

    def __init__(self, fleet: str) -> None:
        self._environment = Environment(
            loader=FileSystemLoader(_HERE / "templates"),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        self._environment.globals |= {
            "fleet": fleet,
            "version": __version__,
            "words": lamps.WORDS,
            "plot_width": plots.WIDTH,
            "plot_height": plots.HEIGHT,
        }
        self._environment.filters |= {
            "utc": _utc,
            "rfc3339": _rfc3339,
            "size": _size,
            "brief": _brief,
        }

    def snapshot(self, facts: Facts, observed: Sequence[Observed]) -> Snapshot:
        """Render every live part."""
        fleet = picture.sites(facts.devices, observed)
        pictures = [picture.rollout_picture(rollout) for rollout in facts.rollouts]
        alerts = picture.alert_pictures(facts.alerts, observed)
        boxes = {
            "now": {
                "summary": self.render(
                    "summary.html", summary=picture.summary(fleet), asking=facts.asking
                ),
                "alerts": self.render("alerts.html", alerts=alerts),
                "rollouts": self.render("rollouts.html", rollouts=pictures, earlier=facts.earlier),
            },
            "sites": {
                f"site-{_digest(site.name)[:12]}": self.render("site.html", site=site)
                for site in fleet
            }
            or {"empty": self.render("empty.html")},
            "shelf": {
                "releases": self.render("releases.html", releases=picture.release_lines(facts))
            },
        }
        return Snapshot(_digest(repr(boxes)), boxes)

    def page(self, snapshot: Snapshot, caller: Caller) -> str:
        """The whole page."""
        return self.render("page.html", here="/", me=caller, snapshot=snapshot)

    def device(self, facts: DeviceFacts) -> str:
        """What the console tells of one device beyond its row."""
        return self.render("device.html", facts=facts)

    def audit(
        self, lines: Sequence[Line], caller: Caller, *, actor: str, subject: str, limit: int
    ) -> str:
        """A page of the audit log; a full one leads to the earlier lines."""
        earlier = lines[-1].sequence if len(lines) == limit else None
        return self.render(
            "audit.html",
            here="/console/audit",
            me=caller,
            lines=lines,
            actor=actor,
            subject=subject,
            earlier=earlier,
        )

    def render(self, template: str, **values: Any) -> str:  # noqa: ANN401 - a template's values
        """Fill a template."""
        return self._environment.get_template(template).render(values)


def change(before: Snapshot | None, after: Snapshot) -> dict[str, Any]:
    """What a page that shows `before` needs to show `after`.

    Returns:
        `order`: box to part ids; `html`: part id to HTML, of the parts that differ; `digest`.
    """
    shown = _parts(before) if before is not None else {}
    return {
        "digest": after.digest,
        "order": {box: list(parts) for box, parts in after.boxes.items()},
        "html": {part: html for part, html in _parts(after).items() if shown.get(part) != html},
    }


def _parts(snapshot: Snapshot) -> dict[str, str]:
    return {part: html for parts in snapshot.boxes.values() for part, html in parts.items()}


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def _utc(moment: datetime) -> str:
    return f"{moment:%Y-%m-%d %H:%M:%S}Z"


def _rfc3339(moment: datetime) -> str:
    return f"{moment:%Y-%m-%dT%H:%M:%SZ}"


def _brief(value: Any) -> str:  # noqa: ANN401 - JSON
    """A value in one line."""
    text = value if isinstance(value, str) else msgspec.json.encode(value).decode()
    return text if len(text) <= MAX_BRIEF else f"{text[: MAX_BRIEF - 1]}…"


def _size(size_bytes: float) -> str:
    """A size in the unit that reads best (1 kB is 1000 bytes)."""
    for unit in ("B", "kB", "MB"):
        if size_bytes < 1000:
            return f"{size_bytes:.3g} {unit}"
        size_bytes /= 1000
    return f"{size_bytes:.3g} GB"
