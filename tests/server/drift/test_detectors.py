from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from lamplighter_protocol.bundle import Manifest
from lamplighter_protocol.counts import Counts
from lamplighter_server.drift.detectors import (
    MAX_LEVEL,
    MIN_ROWS,
    PREDICTION,
    compare,
    detect,
    family_level,
    lone_device,
    since,
)

Draw = Callable[..., Counts]
START = datetime(2026, 5, 1, tzinfo=UTC)
LEVEL = 0.001


def test_the_level_follows_the_budget() -> None:
    assert family_level(1.0, 3600) == pytest.approx(1 / 24)
    assert family_level(1.0, 30) == pytest.approx(30 / 86_400)
    assert family_level(100.0, 3600) == MAX_LEVEL


def test_a_moved_column_is_named_with_its_direction(
    drifting_manifest: Manifest, draw: Draw
) -> None:
    rng = np.random.default_rng(2)
    moved = draw(rng, drifting_manifest, 600, shift={"x3": -1.0, "x5": 0.6})
    still = draw(rng, drifting_manifest, 600)
    verdicts = detect(
        {"a": (drifting_manifest, moved), "b": (drifting_manifest, still)}, level=LEVEL
    )
    assert [(f.column, f.direction) for f in verdicts["a"].findings] == [
        ("x3", "lower"),
        ("x5", "higher"),
    ]
    assert not verdicts["a"].quiet
    assert verdicts["b"].findings == ()


def test_nulls_and_predictions_are_watched(drifting_manifest: Manifest, draw: Draw) -> None:
    rng = np.random.default_rng(3)
    broken = draw(rng, drifting_manifest, 600, nulls=0.3)
    (verdict,) = detect({"a": (drifting_manifest, broken)}, level=LEVEL).values()
    assert {(f.column, f.measure) for f in verdict.findings} == {
        (f"x{i}", "null-share") for i in range(8)
    }
    worn = draw(rng, drifting_manifest, 600, label=0.9)
    (verdict,) = detect({"a": (drifting_manifest, worn)}, level=LEVEL).values()
    assert [(f.column, f.direction) for f in verdict.findings] == [(PREDICTION, "more worn")]


def test_too_few_rows_are_not_judged(drifting_manifest: Manifest, draw: Draw) -> None:
    few = draw(np.random.default_rng(4), drifting_manifest, MIN_ROWS - 1, shift={"x0": 5.0})
    assert detect({"a": (drifting_manifest, few)}, level=LEVEL) == {}


def test_certain_but_small_is_no_finding(drifting_manifest: Manifest, draw: Draw) -> None:
    slight = draw(np.random.default_rng(5), drifting_manifest, 20_000, shift={"x0": 0.1})
    assert min(item.p for item in compare(drifting_manifest, slight)) < LEVEL / 100
    assert detect({"a": (drifting_manifest, slight)}, level=LEVEL)["a"].findings == ()


def test_the_promised_budget_is_kept_by_a_fleet(drifting_manifest: Manifest, draw: Draw) -> None:
    """Twelve sites, ten comparisons each, every 12 minutes: 120 decisions are one day."""
    rng = np.random.default_rng(6)
    level = family_level(1.0, 720)
    days, decisions, alarms, significant = 3, 120, 0, 0
    for _ in range(days * decisions):
        samples = {
            site: (drifting_manifest, draw(rng, drifting_manifest, 400)) for site in range(12)
        }
        verdicts = detect(samples, level=level)
        alarms += sum(bool(verdict.findings) for verdict in verdicts.values())
        family = [c.p for _, counts in samples.values() for c in compare(drifting_manifest, counts)]
        significant += min(family) < level / len(family)
    assert alarms / days <= 1.0
    assert significant / days <= 2.5  # significance alone: a Poisson count with mean 3 or less


def test_since_finds_the_first_differing_window(drifting_manifest: Manifest, draw: Draw) -> None:
    rng = np.random.default_rng(7)
    off = []
    for _ in range(30):
        windows = {
            START + timedelta(minutes=i): draw(
                rng, drifting_manifest, 60, shift={"x1": -0.9} if i >= 14 else None
            )
            for i in range(20)
        }
        late = draw(rng, drifting_manifest, 400, shift={"x1": -0.9})
        finding = max(compare(drifting_manifest, late), key=lambda item: item.effect)
        found = since(drifting_manifest, windows, finding)
        off.append(abs(found - (START + timedelta(minutes=14))))
    assert sum(delta <= timedelta(minutes=1) for delta in off) >= 25
    assert max(off) <= timedelta(minutes=4)


def test_one_device_alone_is_named(drifting_manifest: Manifest, draw: Draw) -> None:
    rng = np.random.default_rng(8)
    still = {name: draw(rng, drifting_manifest, 400) for name in ("cam-1", "cam-2")}
    moved = draw(rng, drifting_manifest, 400, shift={"x2": 2.0})
    site = still["cam-1"].merge(still["cam-2"]).merge(moved)
    findings = detect({"a": (drifting_manifest, site)}, level=LEVEL)["a"].findings
    assert findings
    assert lone_device(drifting_manifest, {**still, "cam-3": moved}, findings) == "cam-3"


def test_a_whole_site_is_not_blamed_on_one_device(drifting_manifest: Manifest, draw: Draw) -> None:
    rng = np.random.default_rng(9)
    devices = {
        name: draw(rng, drifting_manifest, 400, shift={"x2": 1.0}) for name in ("a", "b", "c")
    }
    findings = [c for c in compare(drifting_manifest, devices["a"]) if c.column == "x2"]
    assert lone_device(drifting_manifest, devices, findings) is None
    assert lone_device(drifting_manifest, {"a": devices["a"]}, findings) is None
