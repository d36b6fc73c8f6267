"""Debian's RAUC and mender-client, each set up in a folder of its own to install one file.

Neither touches the machine: RAUC's service speaks over a private bus and its slots are files,
Mender's client sees another /etc/mender and /var/lib. Both need root, RAUC also a loop device.
"""

import json
import os
import re
import subprocess
import time
from abc import ABC, abstractmethod
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import ClassVar

import report

START_TIMEOUT_S = 10
_SLOT_BYTES = 32 * 2**20


class UnavailableError(Exception):
    """The updater does not run here, and why."""


class Updater(ABC):
    """One updater, ready to install when it is entered.

    Args:
        folder: An empty one, on the disk that is measured.

    Raises:
        UnavailableError: When it is entered.
    """

    name: ClassVar[str]
    needs: ClassVar[tuple[str, ...]]

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._stack = ExitStack()

    def __enter__(self) -> "Updater":  # noqa: PYI034
        if os.geteuid() != 0:
            raise UnavailableError(f"{self.name} installs as root only")
        self.folder.mkdir()
        with ExitStack() as undo:
            try:
                for program in (*self.needs, "openssl"):
                    report.program(program)
            except FileNotFoundError as error:
                raise UnavailableError(str(error)) from error
            undo.push(self._stack)
            self._start()
            self.install(self.pack(b"a first installation, to see whether it works here"))
            self._stack = undo.pop_all()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        self._stack.close()

    @property
    def label(self) -> str:
        """Its name and version."""
        told = subprocess.check_output([self.needs[0], "--version"], text=True)
        found = re.search(r"[0-9]+(\.[0-9]+)+", told)
        return f"{self.name} {found[0]}" if found else self.name

    @abstractmethod
    def _start(self) -> None:
        """Make keys and configuration, and start what has to run."""

    @abstractmethod
    def pack(self, payload: bytes) -> Path:
        """A signed package of one file, which travels as it is, as in our chunks."""

    @abstractmethod
    def install(self, package: Path) -> None:
        """Install and commit a package from the disk."""

    @abstractmethod
    def installed(self, size_bytes: int) -> bytes:
        """The first bytes of what is installed."""

    def _keep(self, process: "subprocess.Popen[str]") -> None:
        self._stack.callback(process.wait)
        self._stack.callback(process.terminate)


class Rauc(Updater):
    """A raw slot of two; the bundle is `plain`, as `verity` needs a device mapper."""

    name = "rauc"
    needs = ("rauc", "mksquashfs", "dbus-daemon")

    def _start(self) -> None:
        for place in ("content", "mount"):
            (self.folder / place).mkdir()
        curve = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1")
        names = ("-keyout", str(self._key), "-out", str(self._certificate), "-subj", "/CN=bench")
        run("openssl", "req", "-x509", *curve, "-nodes", "-days", "365", *names)
        slots = ""
        for number, name in enumerate("AB"):
            os.truncate(_touched(self._slot(number)), _SLOT_BYTES)
            slots += (
                f"[slot.model.{number}]\ndevice={self._slot(number)}\ntype=raw\nbootname={name}\n"
            )
        configuration = self.folder / "system.conf"
        configuration.write_text(
            f"[system]\ncompatible=bench\nbootloader=noop\nmountprefix={self.folder / 'mount'}\n"
            f"statusfile={self.folder / 'slots.raucs'}\nbundle-formats=plain\n"
            f"[keyring]\npath={self._certificate}\n{slots}"
        )
        self._bus = _listening(self, "dbus-daemon", "--session", "--nofork", "--print-address")
        service = ("rauc", "service", f"--conf={configuration}", "--override-boot-slot=A")
        silent = subprocess.DEVNULL
        self._keep(
            subprocess.Popen(
                service, env=self._environment, text=True, stdout=silent, stderr=silent
            )
        )
        end_mono = time.monotonic() + START_TIMEOUT_S
        while not self._answers():
            if time.monotonic() > end_mono:
                raise UnavailableError("the service of rauc does not come up")
            time.sleep(0.05)

    def _answers(self) -> bool:
        command = ["rauc", "status"]
        done = subprocess.run(command, env=self._environment, capture_output=True, check=False)
        return done.returncode == 0

    def pack(self, payload: bytes) -> Path:
        """See Updater."""
        (self.folder / "content/model.img").write_bytes(payload)
        (self.folder / "content/manifest.raucm").write_text(
            "[update]\ncompatible=bench\nversion=1\n[image.model]\nfilename=model.img\n"
        )
        package = self.folder / "model.raucb"
        package.unlink(missing_ok=True)
        signed = (f"--cert={self._certificate}", f"--key={self._key}")
        as_it_is = "--mksquashfs-args=-noI -noD -noF -noX"
        run("rauc", "bundle", *signed, as_it_is, str(self.folder / "content"), str(package))
        return package

    def install(self, package: Path) -> None:
        """See Updater."""
        run("rauc", "install", str(package), environment=self._environment)

    def installed(self, size_bytes: int) -> bytes:
        """See Updater."""
        return self._slot(1).read_bytes()[:size_bytes]

    def _slot(self, number: int) -> Path:
        return self.folder / f"slot{number}.img"

    @property
    def _key(self) -> Path:
        return self.folder / "key.pem"

    @property
    def _certificate(self) -> Path:
        return self.folder / "certificate.pem"

    @property
    def _environment(self) -> dict[str, str]:
        bus = {"DBUS_SESSION_BUS_ADDRESS": self._bus, "DBUS_STARTER_BUS_TYPE": "session"}
        return {**os.environ, **bus}


class Mender(Updater):
    """Standalone, with the update module `single-file` that comes with it."""

    name = "mender"
    needs = ("mender", "mender-artifact", "unshare", "nsenter")
    _FILE = "model.onnx"

    def _start(self) -> None:
        for place in ("etc", "lib/mender", "content", "destination"):
            (self.folder / place).mkdir(parents=True)
        public = self.folder / "public.pem"
        run("openssl", "ecparam", "-genkey", "-name", "prime256v1", "-noout", "-out", self._key)
        run("openssl", "ec", "-in", self._key, "-pubout", "-out", str(public))
        (self.folder / "etc/mender.conf").write_text(json.dumps({"ArtifactVerifyKey": str(public)}))
        (self.folder / "etc/artifact_info").write_text("artifact_name=none\n")
        (self.folder / "lib/mender/device_type").write_text("device_type=bench\n")
        module = {"dest_dir": self.folder / "destination", "filename": self._FILE}
        for name, value in {**module, "permissions": "644"}.items():
            (self.folder / "content" / name).write_text(str(value))
        mounts = 'mount --bind "$1" /etc/mender && mount --bind "$2" /var/lib'
        places = (str(self.folder / "etc"), str(self.folder / "lib"))
        script = f"{mounts} && echo $$ && exec sleep infinity"
        self._seen_by = _listening(self, "unshare", "--mount", "sh", "-c", script, "sh", *places)

    def pack(self, payload: bytes) -> Path:
        """See Updater."""
        content = self.folder / "content"
        (content / self._FILE).write_bytes(payload)
        package = self.folder / "model.mender"
        files = [word for place in sorted(content.iterdir()) for word in ("-f", str(place))]
        about = ("-T", "single-file", "-n", "model", "-t", "bench", "-k", self._key)
        write = ("--compression", "none", "write", "module-image", *about, "-o", str(package))
        run("mender-artifact", *write, *files)
        return package

    def install(self, package: Path) -> None:
        """See Updater."""
        client = ("nsenter", "--mount", "--target", self._seen_by, "mender", "--no-syslog")
        run(*client, "install", str(package))
        run(*client, "commit")

    def installed(self, size_bytes: int) -> bytes:
        """See Updater."""
        return (self.folder / "destination" / self._FILE).read_bytes()[:size_bytes]

    @property
    def _key(self) -> str:
        return str(self.folder / "key.pem")


def run(*command: str, environment: dict[str, str] | None = None) -> None:
    """Run a program to its end.

    Raises:
        UnavailableError: It says no.
    """
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        told = (done.stderr or done.stdout).strip().splitlines()[-1:]
        raise UnavailableError(f"{' '.join(command[:2])} ended with {done.returncode}: {told}")


def _listening(updater: Updater, *command: str) -> str:
    """Start what runs on, and wait for the one line that it says."""
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    )
    updater._keep(process)  # noqa: SLF001 - of this module
    assert process.stdout is not None
    if not (line := process.stdout.readline().strip()):
        raise UnavailableError(f"{command[0]} does not come up")
    return line


def _touched(path: Path) -> Path:
    path.touch()
    return path
