from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest

from lamplighter_agent.app.meter import Meter
from lamplighter_agent.core.budget import Budget, Pace
from lamplighter_agent.store.spent import SAVE_BYTES, SpentFile
from lamplighter_protocol.errors import LamplighterError


class World:
    def __init__(self, path: Path, size_bytes: int = 3_000_000, rate: float = 0) -> None:
        self.now_utc = datetime(2026, 5, 30, 23, tzinfo=timezone.utc)
        self.now_mono = 0.0
        self.path = path
        self.budget = Budget(size_bytes, "month")
        self.rate = rate
        self.start()

    def start(self) -> None:
        """As after a restart, or a power cut."""
        self.meter = Meter(
            Pace(self.rate),
            self.budget,
            SpentFile(self.path),
            lambda: self.now_utc,
            lambda: self.now_mono,
        )


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path / "spent.json")


def test_what_is_spent_is_put_off_and_said_until_when(world: World) -> None:
    world.meter.arrived(3_000_000)
    with pytest.raises(LamplighterError, match=r"3 MB a month.*2026-06-01 00:00 UTC") as refused:
        world.meter.admit(1)
    assert refused.value.retry_after_s == 25 * 3600
    assert world.meter.left_bytes == 0
    world.now_utc += timedelta(hours=25)
    assert world.meter.admit(1) == 0
    assert world.meter.left_bytes == 3_000_000


def test_what_says_what_is_desired_always_passes_and_is_counted(world: World) -> None:
    world.meter.arrived(3_000_000)
    critical = world.meter.critical
    assert critical.admit(1000) == 0
    world.now_utc += timedelta(days=10)
    critical.arrived(1000)
    assert world.meter.left_bytes == 2_999_000


def test_it_is_paced_too(tmp_path: Path) -> None:
    world = World(tmp_path / "spent.json", rate=1000)
    world.now_mono = 50
    assert world.meter.critical.admit(10_000) == 0
    assert world.meter.admit(1) > 0
    assert world.meter.critical.admit(1) > 0


def test_the_count_outlives_a_restart(world: World) -> None:
    world.meter.arrived(1234)
    world.meter.arrived(1000)
    world.meter.save()
    world.start()
    assert world.meter.left_bytes == 3_000_000 - 2234


def test_a_power_cut_forgets_less_than_is_stored_at_once(world: World) -> None:
    for _ in range(40):
        world.meter.arrived(65_536)
    known = world.meter.left_bytes
    world.start()
    assert known is not None
    assert world.meter.left_bytes is not None
    assert known <= world.meter.left_bytes < known + SAVE_BYTES


@pytest.mark.parametrize("raw", [b"", b"{}", b"\xff", b'{"period":1,"size_bytes":-1}', b"[" * 9999])
def test_a_damaged_count_begins_anew(world: World, raw: bytes) -> None:
    world.path.write_bytes(raw)
    world.start()
    assert world.meter.admit(1) == 0


def test_a_disk_that_takes_nothing_stops_nothing(tmp_path: Path) -> None:
    world = World(tmp_path / "missing" / "spent.json")
    world.meter.arrived(3_000_000)
    world.meter.save()
    assert world.meter.left_bytes == 0
