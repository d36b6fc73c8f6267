"""A release brought up on this device: its verified files and the worker that runs it."""

import asyncio
import logging
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from lamplighter_agent.app.limits import Limits
from lamplighter_agent.app.workers import WorkerProcess
from lamplighter_agent.core.state import Installed
from lamplighter_agent.durable import disk_errors
from lamplighter_agent.ports.worker import Beat
from lamplighter_agent.store.blobs import BlobStore
from lamplighter_protocol.assignment import Mode
from lamplighter_protocol.errors import LamplighterError
from lamplighter_protocol.reported import Failure

_LOG = logging.getLogger(__name__)


class Slot:
    """One release of one model, with at most one worker.

    Args:
        model: The model's name.
        installed: The release.
        blobs: Where its files are.
        run: Where the folder of links is made; in the system's temporary folder if it takes no
            writes, so that a disk that fails costs no model.
        command: How a worker is started, before its options.
        listen_fds: The model's listening sockets.
        hang_s: How long its worker may be silent while it serves.
        mode: Whether it is to answer, or to run in the shadow of what does.
    """

    def __init__(
        self,
        model: str,
        installed: Installed,
        *,
        blobs: BlobStore,
        run: Path,
        command: Sequence[str],
        listen_fds: Sequence[int],
        hang_s: float,
        mode: Mode = "active",
    ) -> None:
        self.model = model
        self.installed = installed
        self.mode: Mode = mode
        self._blobs = blobs
        self._run = run
        self._files: Path | None = None
        self._command = command
        self._listen_fds = listen_fds
        self._hang_s = hang_s
        self.worker: WorkerProcess | None = None
        self.lacking: Failure | None = None
        """Why the model runs on the CPU though a setting asks for more."""
        self.serving = False
        """Whether it was told to accept requests."""
        self.has_served = False
        """Whether it ever was, or was told to take copies of them."""

    @property
    def alive(self) -> bool:
        """Whether a worker runs."""
        return self.worker is not None and not self.worker.exited.is_set()

    @property
    def beat(self) -> Beat | None:
        """The worker's newest sign of life."""
        return self.worker.beat if self.worker else None

    async def load(self) -> None:
        """Verify the files and bring the model into memory, in a new worker.

        Raises:
            LamplighterError: STORE_CORRUPT, MODEL_LOAD_FAILED, WORKER_CRASHED, DISK_FULL or
                DISK_FAILED if no folder of links can be made.
        """
        await self.stop()
        manifest, self._files = await asyncio.to_thread(self._lay_out)
        self.worker = await WorkerProcess.start(
            [
                *self._command,
                *("--manifest", str(manifest)),
                *("--variant", self.installed.variant),
                *("--files", str(self._files)),
            ],
            self._listen_fds,
            self._hang_s,
            Limits(self.installed.memory_budget_mb, in_shadow=self.mode == "shadow"),
        )
        loaded = await self.worker.loaded(self.installed.load_timeout_s)
        self.lacking = loaded.lacking
        _raise(loaded.failure)

    def _lay_out(self) -> tuple[Path, Path]:
        """Verify every file; the manifest's path and the folder of links to the others."""
        manifest = self._blobs.verified(self.installed.manifest_sha256)
        files = {
            name: self._blobs.verified(digest).resolve()
            for name, digest in self.installed.files.items()
        }
        name = f"{self.model}-{self.installed.release}-"
        try:
            return manifest, _link_all(files, name, self._run)
        except OSError as error:
            _LOG.warning("%s takes no links: %s", self._run, error)
        with disk_errors():
            return manifest, _link_all(files, name, None)

    async def self_test(self) -> None:
        """Run the golden inputs.

        Raises:
            LamplighterError: GOLDEN_MISMATCH, WORKER_CRASHED.
        """
        tested = await self._running.self_test(self.installed.load_timeout_s)
        _raise(tested.failure)

    async def serve(self) -> None:
        """Accept requests.

        Raises:
            LamplighterError: WORKER_CRASHED, WORKER_HUNG.
        """
        await self._running.serve()
        self.serving = self.has_served = True

    async def shadow(self) -> None:
        """Take copies of requests at `copies`.

        Raises:
            LamplighterError: WORKER_CRASHED, WORKER_HUNG.
        """
        await self._running.shadow(self.copies)
        self.has_served = True

    @property
    def copies(self) -> Path:
        """Where copies of requests are taken, in shadow mode."""
        assert self._files is not None  # noqa: S101 - it is loaded
        return self._files / "copies.sock"

    def drain(self) -> None:
        """Accept no more requests; stay warm."""
        self.serving = False
        if self.worker is not None:
            self.worker.drain()

    async def stop(self) -> None:
        """End the worker, if there is one, and remove its folder of links."""
        self.serving = False
        if self.worker is not None:
            await self.worker.stop()
            self.worker = None
        if self._files is not None:
            shutil.rmtree(self._files, ignore_errors=True)
            self._files = None

    @property
    def _running(self) -> WorkerProcess:
        if self.worker is None:
            raise LamplighterError("WORKER_CRASHED", f"No worker of {self.model} runs.")
        return self.worker


def _link_all(files: Mapping[str, Path], name: str, parent: Path | None) -> Path:
    folder = Path(tempfile.mkdtemp(prefix=name, dir=parent))
    for file, target in files.items():
        (folder / file).symlink_to(target)
    return folder


def _raise(failure: Failure | None) -> None:
    if failure is not None:
        raise LamplighterError(failure.code, failure.sentence)
