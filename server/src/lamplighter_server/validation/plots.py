"""The pictures of a model card: SVG that takes its colours from the page. Pure."""

from collections.abc import Sequence
from html import escape
from typing import Final

from lamplighter_server.validation.results import CalibrationBin, Estimate, Group

_SIDE: Final = 240.0
_MARGIN: Final = 36.0
_ROW: Final = 26.0
_NAMES: Final = 110.0
#: A cell with more classes than this is too small for its number.
_MAX_NUMBERS: Final = 12


def calibration(bins: Sequence[CalibrationBin]) -> str:
    """Accuracy over confidence; a point on the diagonal means what it says."""
    most = max(item.rows for item in bins)
    points = [(item, *_place(item.confidence, item.accuracy)) for item in bins]
    line = " ".join(f"{x:.1f},{y:.1f}" for _, x, y in points)
    dots = "".join(
        f'<circle class="mark" cx="{x:.1f}" cy="{y:.1f}" '
        f'r="{2 + 4 * (item.rows / most) ** 0.5:.1f}">'
        f"<title>{item.rows} rows: confidence {item.confidence:.3f}, right {item.accuracy:.3f}"
        "</title></circle>"
        for item, x, y in points
    )
    (left, bottom), (right, top) = _place(0, 0), _place(1, 1)
    return _svg(
        "Calibration: the share of right answers by confidence",
        _SIDE + 2 * _MARGIN,
        _SIDE + 2 * _MARGIN,
        f'<rect class="frame" x="{left}" y="{top}" width="{_SIDE}" height="{_SIDE}"/>'
        f'<line class="ideal" x1="{left}" y1="{bottom}" x2="{right}" y2="{top}"/>'
        f'<polyline class="curve" points="{line}"/>{dots}'
        + "".join(_ticks(share) for share in (0, 0.5, 1))
        + _text(left + _SIDE / 2, bottom + 31, "confidence")
        + f'<g transform="rotate(-90)">{_text(-(top + _SIDE / 2), 11, "share right")}</g>',
    )


def confusion(classes: Sequence[str], counts: Sequence[Sequence[int]]) -> str:
    """Rows by true class, columns by given class; the darker, the larger the share of the row."""
    size = min(56.0, 1.5 * _SIDE / len(classes))
    cells = []
    for i, row in enumerate(counts):
        total = sum(row) or 1
        for j, rows in enumerate(row):
            x, y = _NAMES + j * size, 20 + i * size
            kind = "hit" if i == j else "miss"
            cells.append(
                f'<rect class="{kind}" x="{x:.1f}" y="{y:.1f}" width="{size - 1:.1f}" '
                f'height="{size - 1:.1f}" fill-opacity="{0.05 + 0.45 * rows / total:.2f}">'
                f"<title>{escape(classes[i])} given {escape(classes[j])}: {rows}</title></rect>"
            )
            if len(classes) <= _MAX_NUMBERS:
                cells.append(_text(x + size / 2, y + size / 2 + 4, str(rows)))
        cells.append(_text(_NAMES - 6, 20 + i * size + size / 2 + 4, _short(classes[i]), "end"))
        if len(classes) <= _MAX_NUMBERS:
            name = _short(classes[i], int(size / 7))
            cells.append(_text(_NAMES + i * size + size / 2, 14, name))
    return _svg(
        "Confusion: true classes in rows, given classes in columns",
        _NAMES + size * len(classes) + 4,
        24 + size * len(classes),
        "".join(cells),
    )


def groups(title: str, of: Sequence[Group], figure: str) -> str:
    """One bar for each group, with its interval; a group that is too small says so."""
    shown = [group.metrics.get(figure, Estimate()) for group in of]
    scale = max([item.high or item.value or 0 for item in shown], default=0) or 1
    parts = []
    for i, (group, item) in enumerate(zip(of, shown, strict=True)):
        y = 4 + i * _ROW
        parts.append(_text(_NAMES - 6, y + 14, _short(group.name), "end"))
        if item.value is None:
            parts.append(_text(_NAMES + 4, y + 14, f"too small: {group.rows} rows", "start"))
            continue
        low, value, high = (
            _NAMES + _SIDE * max(0.0, end) / scale
            for end in (item.low or 0, item.value, item.high or item.value)
        )
        parts.append(
            f'<rect class="bar" x="{_NAMES}" y="{y}" width="{value - _NAMES:.1f}" height="18">'
            f"<title>{escape(group.name)}: {item.value:.3f}, {group.rows} rows</title></rect>"
            f'<line class="whisker" x1="{low:.1f}" y1="{y + 9}" x2="{high:.1f}" y2="{y + 9}"/>'
        )
        parts.append(_text(_NAMES + _SIDE + 8, y + 14, f"{item.value:.3f}", "start"))
    return _svg(title, _NAMES + _SIDE + 56, 8 + _ROW * len(of), "".join(parts))


def _place(x: float, y: float) -> tuple[float, float]:
    return _MARGIN + _SIDE * x, _MARGIN + _SIDE * (1 - y)


def _ticks(share: float) -> str:
    (x, bottom), (left, y) = _place(share, 0), _place(0, share)
    return _text(x, bottom + 14, f"{share:g}") + _text(left - 5, y + 4, f"{share:g}", "end")


def _text(x: float, y: float, text: str, anchor: str = "middle") -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(text)}</text>'


def _short(name: str, most: int = 15) -> str:
    return name if len(name) <= most else f"{name[: max(1, most - 1)]}…"


def _svg(title: str, width: float, height: float, inside: str) -> str:
    return (
        f'<svg role="img" viewBox="0 0 {width:.0f} {height:.0f}" width="{width:.0f}">'
        f"<title>{escape(title)}</title>{inside}</svg>"
    )
