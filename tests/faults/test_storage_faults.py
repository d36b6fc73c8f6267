"""A part of the crash matrix, and power cuts that lose writes; all of both is in benchmarks/."""

import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from tests.faults.storage.power import PowerBench, unavailable
from tests.faults.storage.shim import Call, build_shim
from tests.faults.storage.trial import Bench
from tests.faults.storage.world import World, ram_disk

pytestmark = [pytest.mark.system, pytest.mark.timeout(240)]
COMMIT = ("unlink", "open", "write", "fsync", "rename", "rename", "fsync")


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    with TemporaryDirectory(dir=ram_disk()) as name:
        yield Path(name)


@pytest.fixture(scope="module")
def shim(folder: Path, require_program: Callable[..., str]) -> Path:
    return build_shim(folder, require_program("cc", "gcc", "clang"))


@pytest.fixture(scope="module")
def bench(folder: Path, shim: Path, require_program: Callable[..., str]) -> Iterator[Bench]:
    place = folder / "bench"
    place.mkdir()
    with World(place, require_program("mosquitto")) as world:
        bench = Bench(world, place, shim)
        bench.prepare("good")
        yield bench


def test_the_commit_is_cut_before_each_of_its_calls(bench: Bench) -> None:
    """The last journal write of an update makes the new release the active one."""
    calls = bench.count()
    journals = [
        at
        for at, call in enumerate(calls, 1)
        if call.place.startswith("journal.json") or call == Call("fsync", "")
    ]
    numbers = journals[-len(COMMIT) :]
    assert tuple(calls[at - 1].kind for at in numbers) == COMMIT
    outcomes = [bench.strike("cut", at) for at in numbers]
    assert [one for one in outcomes if one is None or one.ending == "failed"] == []
    assert {one.state for one in outcomes if one} <= {"self-testing", "probation", "committed"}


@pytest.mark.parametrize("fault", ["ENOSPC", "EIO", "EROFS", "worker"])
def test_a_fault_in_the_middle_stops_neither_supervisor_nor_model(bench: Bench, fault: str) -> None:
    calls = bench.count()
    at = next(at for at, call in enumerate(calls, 1) if call.place.startswith("run/digits-2-"))
    outcome = bench.strike(fault, at)
    assert outcome is not None
    assert outcome.ending != "failed", outcome


def test_a_device_comes_up_on_a_disk_that_takes_no_write(bench: Bench) -> None:
    outcome = bench.strike("EROFS", 1)
    assert outcome is not None
    assert outcome.ending == "finished", outcome


def test_power_cuts_lose_nothing_and_a_missing_fsync_is_caught(
    folder: Path, shim: Path, require_program: Callable[..., str]
) -> None:
    if lacking := unavailable():
        if os.environ.get("CI"):
            pytest.fail(f"CI cannot cut the power: {lacking}")
        pytest.skip(lacking)
    place = folder / "power"
    place.mkdir()
    lie = {"LD_PRELOAD": str(shim), "STORAGE_LIE": str(place / "disk/data/journal.json.new")}
    with ExitStack() as stack:
        world = stack.enter_context(World(place, require_program("mosquitto")))
        bench = PowerBench(world, place, {})
        bench.prepare()
        assert [bench.cut(seed) for seed in range(3)] == [None] * 3
        bench.environment = lie
        assert any(bench.cut(seed) for seed in range(12))
