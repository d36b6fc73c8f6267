"""A device: the real agent's processes on one data folder, as a person at its port sees it."""

import contextlib
import http.client
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Final

import psutil
from tests.faults.storage.world import ASKED, FEATURES, MODEL, World, wait_for

from lamplighter_agent.core.state import AttemptState, ModelState
from lamplighter_agent.core.update import RESTING
from lamplighter_agent.store.journal import Document, decode_journal

ROOT: Final = Path(__file__).parents[3]
#: So long must nothing have changed for an update to be over.
QUIET_S: Final = 0.15
TIMEOUT_S: Final = 30.0

Agent = subprocess.Popen[bytes]


class Device:
    """What runs on one data folder.

    Args:
        world: Its broker and releases.
        data: The agent's data folder.
        log: Where the agent's log goes; each start begins it anew.
        environment: What its processes get beside ours.
    """

    def __init__(self, world: World, data: Path, log: Path, environment: Mapping[str, str]) -> None:
        self.world = world
        self.data = data
        self._log = log
        self._environment = environment

    @contextlib.contextmanager
    def running(self) -> Iterator[Agent]:
        """The agent from its start until all its processes are killed."""
        with self._log.open("wb") as log:
            agent = subprocess.Popen(
                [
                    *(sys.executable, "-m", "tests.faults.storage.agent"),
                    *(str(self.data), str(self.world.serve_port)),
                ],
                cwd=ROOT,
                env={**os.environ, **self._environment},
                stdout=log,
                stderr=log,
            )
        try:
            yield agent
        finally:
            kill(agent)

    def must_run(self, agent: Agent) -> None:
        """Raise AssertionError with the end of its log if the supervisor has ended."""
        if agent.poll() is not None:
            told = self._log.read_text(errors="replace")[-500:]
            raise AssertionError(f"the supervisor ended with {agent.returncode}: {told}")

    def until_settled(
        self,
        agent: Agent,
        release: int,
        *,
        stamp: Callable[[], object] | None = None,
        stopped: Callable[[], bool] = lambda: False,
    ) -> None:
        """Wait until the attempt for a release is over, and what the journal says serves.

        Args:
            agent: It must not end meanwhile.
            release: The one that is assigned.
            stamp: Must not change any more; the journal if there is none.
            stopped: Ends the waiting at once.

        Raises:
            TimeoutError: The update did not end.
            AssertionError: The agent did.
        """
        look = stamp or self._document
        changed_mono, seen = time.monotonic(), look()

        def settled() -> bool:
            nonlocal changed_mono, seen
            if stopped():
                return True
            self.must_run(agent)
            if (now := look()) != seen:
                changed_mono, seen = time.monotonic(), now
            return (
                time.monotonic() - changed_mono > QUIET_S
                and self._rests(release)
                and self.serves(self.committed)
                and look() == seen  # an answer may have taken long
            )

        try:
            wait_for(f"the update to release {release} to end", settled, TIMEOUT_S)
        except TimeoutError as error:
            raise TimeoutError(
                f"{error}: state {self.state}, committed {self.committed}, "
                f"answering {self.answer()}"
            ) from error

    def _document(self) -> Document:
        # Between the two renames of a write only the one before is there.
        for name in ("journal.json", "journal.json.before"):
            with contextlib.suppress(FileNotFoundError):
                return decode_journal((self.data / name).read_bytes())
        return Document()

    @property
    def _model(self) -> ModelState | None:
        return next(iter(self._document().models.values()), None)

    @property
    def attempt(self) -> AttemptState | None:
        """The newest update in the journal."""
        model = self._model
        return model.attempt if model else None

    @property
    def state(self) -> str:
        """Where the journal says that the update stands."""
        model = self._model
        return model.state if model else "idle"

    @property
    def committed(self) -> int:
        """The release that the journal says is committed; 0 for none."""
        model = self._model
        return model.active.release if model and model.active else 0

    def _rests(self, release: int) -> bool:
        attempt = self.attempt
        return (
            attempt is not None
            and attempt.state in RESTING - {"idle"}
            and attempt.assigned.release == release
        )

    def serves(self, release: int) -> bool:
        """Whether requests are answered as the signed release answers, to a hundred-thousandth."""
        answer = self.answer()
        wanted = self.world.releases.get(release)
        return (
            answer is not None
            and wanted is not None
            and all(abs(a - b) < 1e-5 for a, b in zip(answer, wanted.answer, strict=True))
        )

    def answer(self) -> list[float] | None:
        """The probabilities that the device answers for the row that is asked; None for none."""
        row = {"shape": [1, FEATURES], "datatype": "FP32", "data": [ASKED] * FEATURES}
        body = {"inputs": [{"name": "image", **row}]}
        connection = http.client.HTTPConnection("127.0.0.1", self.world.serve_port, timeout=5)
        try:
            connection.request("POST", f"/v2/models/{MODEL}/infer", json.dumps(body))
            document = json.loads(connection.getresponse().read())
        except (OSError, http.client.HTTPException):
            return None
        finally:
            connection.close()
        outputs = {output["name"]: output["data"] for output in document.get("outputs", ())}
        return outputs.get("probabilities")


def kill(agent: Agent) -> None:
    """SIGKILL for the supervisor and all its children, as a power cut would."""
    if agent.poll() is not None:
        return
    family = [psutil.Process(agent.pid)]
    with contextlib.suppress(psutil.NoSuchProcess):
        os.kill(agent.pid, signal.SIGSTOP)  # so that it starts nobody else meanwhile
        family += family[0].children(recursive=True)
    for process in family:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.kill()
    agent.wait()
    wait_for("the children to end", lambda: not any(map(_runs, family[1:])))


def _runs(process: psutil.Process) -> bool:
    try:
        return bool(process.status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False
