"""A device that finds its storage damaged when it starts: real processes."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tests.faults.storage.device import Device
from tests.faults.storage.world import World, copy_state, wait_for

from lamplighter_protocol.canonical import sha256

pytestmark = [pytest.mark.system, pytest.mark.timeout(120)]


@pytest.fixture(scope="module")
def world(
    tmp_path_factory: pytest.TempPathFactory, require_program: Callable[..., str]
) -> Iterator[World]:
    with World(tmp_path_factory.mktemp("world"), require_program("mosquitto")) as world:
        yield world


@pytest.fixture(scope="module")
def base(world: World, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a device that has committed release 1."""
    folder = tmp_path_factory.mktemp("base")
    world.enrol(folder / "data/identity")
    world.roll_out(1)
    device = Device(world, folder / "data", folder / "log", {})
    with device.running() as agent:
        device.until_settled(agent, 1)
    return folder / "data"


@pytest.fixture
def device(world: World, base: Path, tmp_path: Path) -> Device:
    copy_state(base, tmp_path / "data")
    return Device(world, tmp_path / "data", tmp_path / "log", {})


def spoil(path: Path) -> None:
    raw = bytearray(path.read_bytes())
    raw[len(raw) // 2] ^= 1
    path.write_bytes(raw)


@pytest.mark.parametrize(
    "damaged",
    ["journal.json", "outbox.sqlite3", "high-water.json", "report-counter", "status.json"],
)
def test_a_changed_byte_costs_no_model(device: Device, damaged: str) -> None:
    spoil(device.data / damaged)
    with device.running():
        wait_for("release 1 to answer", lambda: device.serves(1))


def test_a_lost_journal_is_made_anew_from_the_blobs(device: Device) -> None:
    for file in device.data.glob("journal.json*"):
        file.unlink()
    blobs = {path.name: path.stat().st_ino for path in (device.data / "blobs/sha256").iterdir()}
    with device.running() as agent:
        device.until_settled(agent, 1)
        assert device.committed == 1
    after = {path.name: path.stat().st_ino for path in (device.data / "blobs/sha256").iterdir()}
    assert after == blobs, "nothing was fetched again"


def test_a_damaged_file_of_the_model_is_fetched_again(device: Device) -> None:
    for blob in (device.data / "blobs/sha256").iterdir():
        spoil(blob)
    with device.running():
        wait_for("the files to come again", lambda: intact(device) and device.committed == 1)


def intact(device: Device) -> bool:
    """Whether the model's files are there, each as its name says."""
    stored = list((device.data / "blobs/sha256").iterdir())
    return len(stored) > 1 and all(sha256(blob.read_bytes()) == blob.name for blob in stored)
