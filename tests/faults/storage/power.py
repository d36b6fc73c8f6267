"""Power cuts that lose writes: the real agent on a real ext4 over a disk with a volatile cache."""

import contextlib
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

from tests.faults.storage.device import ROOT, TIMEOUT_S, Device
from tests.faults.storage.world import MODEL, World, wait_for

from lamplighter_agent.app.config import DataDir
from lamplighter_agent.store.blobs import BlobStore
from lamplighter_agent.store.identity import load_identity
from lamplighter_agent.store.journal import Journal
from lamplighter_protocol.errors import LamplighterError

DISK_BYTES: Final = 48 * 1024 * 1024
#: Of the time that an undisturbed update takes: the last cuts come when all is done.
LONGEST: Final = 1.1


def unavailable() -> str | None:
    """What this machine lacks for power cuts; None if nothing."""
    if os.geteuid() != 0:
        return "mounting needs root"
    missing = [name for name in ("losetup", "mount", "umount", "mke2fs") if not shutil.which(name)]
    if missing:
        return f"{missing[0]} is not installed"
    if not (Path("/dev/fuse").exists() and Path("/dev/loop-control").exists()):
        return "there is no /dev/fuse or no loop device"
    return None


class PowerBench:
    """A device whose disk is put back before every cut.

    Args:
        world: Its broker and releases.
        folder: Where images and mount points lie.
        environment: What the agent's processes get beside ours, before the cut only.
    """

    def __init__(self, world: World, folder: Path, environment: Mapping[str, str]) -> None:
        self._folder = folder
        self._base, self._image = folder / "base.img", folder / "disk.img"
        self._mounted = folder / "disk"
        self._mounted.mkdir()
        self.data = self._mounted / "data"
        self._world = world
        self.environment = environment
        self._after = Device(world, self.data, folder / "after.log", {})
        self._update_s = 0.0

    def prepare(self) -> None:
        """Commit release 1, keep the disk, and measure an update to release 2."""
        with self._base.open("wb") as image:
            image.truncate(DISK_BYTES)
        _run("mke2fs", "-q", "-F", "-t", "ext4", self._base)
        with self._mount(self._base, "-o", "loop,noatime"):
            self.data.mkdir()
            self._world.enrol(self.data / "identity")
            self._world.roll_out(1)
            with self._after.running() as agent:
                self._after.until_settled(agent, 1)
        self._world.roll_out(2)
        shutil.copyfile(self._base, self._image)
        with self._volatile(0) as (_, device), self._mount(device, "-o", "noatime"):
            started_mono = time.monotonic()
            with self._struck().running() as agent:
                self._struck().until_settled(agent, 2)
                self._update_s = time.monotonic() - started_mono

    def cut(self, seed: int) -> str | None:
        """Cut the power at a random moment; what is wrong with the device afterwards, if anything.

        Args:
            seed: Decides the moment, and which unflushed sectors are kept.
        """
        shutil.copyfile(self._base, self._image)
        moment_s = random.Random(seed).uniform(0, LONGEST * self._update_s)
        with self._volatile(seed) as (disk, device), self._mount(device, "-o", "noatime"):
            identity = load_identity(self.data / "identity").enrolment
            with self._struck().running():
                time.sleep(moment_s)
                disk.send_signal(signal.SIGUSR1)
        with self._mount(self._image, "-o", "loop,noatime"):
            try:
                if load_identity(self.data / "identity").enrolment != identity:
                    return "the identity is another one"
                self._verify()
                with self._after.running() as agent:
                    self._after.until_settled(agent, 2)
            except (AssertionError, TimeoutError, LamplighterError) as error:
                return f"{type(error).__name__}: {error}"
        return None

    def _struck(self) -> Device:
        return Device(self._world, self.data, self._folder / "struck.log", self.environment)

    def _verify(self) -> None:
        """Before any help from the network: the committed release is whole, nothing is damaged.

        Raises:
            LamplighterError: STORE_CORRUPT.
            AssertionError: Something that was made durable has not lasted.
        """
        data = DataDir(self.data)
        active = Journal(data.journal).model(MODEL).active
        assert active is not None, "the journal knows no release"
        store = BlobStore(data.blobs)
        for digest in (path.name for path in (data.blobs / "sha256").iterdir()):
            store.verified(digest)
        assert all((data.blobs / "sha256" / digest).exists() for digest in active.blobs)
        damaged = [path.name for path in self.data.glob("*.damaged")]
        assert not damaged, f"{damaged} were damaged"

    @contextlib.contextmanager
    def _volatile(self, seed: int) -> Iterator[tuple["subprocess.Popen[bytes]", Path]]:
        """The disk's process, and a block device on its file."""
        file = self._folder / "volatile"
        file.touch()
        disk = subprocess.Popen(
            [
                *(sys.executable, "-m", "tests.faults.storage.volatile_disk"),
                *(str(file), str(self._image), str(seed)),
            ],
            cwd=ROOT,
        )
        try:
            wait_for("the disk", lambda: file.stat().st_size == DISK_BYTES)
            device = _run("losetup", "--find", "--show", file).strip()
            try:
                yield disk, Path(device)
            finally:
                _run("losetup", "--detach", device)
        finally:
            _unmount(file)
            disk.wait(TIMEOUT_S)

    @contextlib.contextmanager
    def _mount(self, device: Path, *options: str) -> Iterator[None]:
        _run("mount", *options, device, self._mounted)
        try:
            yield
        finally:
            _unmount(self._mounted)


def _unmount(place: Path) -> None:
    """Threads of a killed process, and a loop device, may hold it a moment longer than they say."""
    command = ["umount", str(place)]
    wait_for(
        f"{place.name} to be idle",
        lambda: subprocess.run(command, capture_output=True).returncode == 0,
    )


def _run(*command: str | Path) -> str:
    ran = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    return ran.stdout
