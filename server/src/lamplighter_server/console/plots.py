"""Bars of what was observed, each with a line where the reference has it: geometry only."""

from collections.abc import Sequence
from typing import Final, NamedTuple

from lamplighter_protocol.bundle import Column, Manifest
from lamplighter_protocol.counts import Counts, total_variation
from lamplighter_server.drift.detectors import PREDICTION

WIDTH: Final = 240.0
HEIGHT: Final = 40.0
FEW_ROWS: Final = 50
_GAP: Final = 2.0
_LETTER_WIDTH: Final = 5.0
_MAX_BARS: Final = 16


class Bar(NamedTuple):
    """One bar in the coordinates of the picture; y grows downwards."""

    x: float
    width: float
    y: float
    height: float
    reference_y: float
    label: str
    """Below the bar; empty where it does not fit."""
    title: str


class Plot(NamedTuple):
    """A picture, and what it shows in words."""

    words: str
    bars: tuple[Bar, ...]


def predictions(manifest: Manifest, observed: Counts) -> Plot:
    """Predicted labels against the reference."""
    seen, base = observed.predicted, manifest.reference.predicted
    return _plot("predictions", manifest.answer.labels, seen, base)


def column(manifest: Manifest, observed: Counts, name: str) -> Plot | None:
    """One observed column against the reference; None if the release has no such column."""
    if name == PREDICTION:
        return predictions(manifest, observed)
    for item in manifest.columns:
        if item.name == name:
            seen, base = observed.columns[name], manifest.reference.columns[name]
            if item.kind == "category":
                return _plot(name, (*item.categories, "other", "null"), seen, base)
            return _plot(f"{name}, low to high", _numeric(item), _join(seen), _join(base))
    return None


def _join(counts: list[int]) -> list[int]:
    """Neighbouring bins added up to at most _MAX_BARS; below, above and null stay.

    The bins lie at the quantiles of the reference, so the reference is nearly flat.
    """
    below, *bins, above, null = counts
    size = -(-len(bins) // _MAX_BARS)
    return [below, *(sum(bins[i : i + size]) for i in range(0, len(bins), size)), above, null]


def _numeric(item: Column) -> list[str]:
    bars = len(_join([0] * item.count_slots)) - 3
    return ["below", *(f"part {i + 1} of {bars}" for i in range(bars)), "above", "null"]


def _plot(what: str, names: Sequence[str], seen: list[int], base: list[int]) -> Plot:
    shares = [count / max(sum(seen), 1) for count in seen]
    reference = [count / max(sum(base), 1) for count in base]
    scale = HEIGHT / (max(*shares, *reference) or 1)
    step = WIDTH / len(names)
    bars = tuple(
        Bar(
            x=round(i * step + _GAP / 2, 2),
            width=round(step - _GAP, 2),
            y=round(HEIGHT - share * scale, 2),
            height=round(share * scale, 2),
            reference_y=round(HEIGHT - wanted * scale, 2),
            label=name if len(name) * _LETTER_WIDTH <= step else "",
            title=f"{name}: {share:.1%}, reference {wanted:.1%}",
        )
        for i, (name, share, wanted) in enumerate(zip(names, shares, reference, strict=True))
    )
    distance = total_variation(seen, base)
    words = f"{what}: {sum(seen):,} rows, {distance:.2f} from the reference (line)"
    return Plot(f"{words}, few rows" if sum(seen) < FEW_ROWS else words, bars)
