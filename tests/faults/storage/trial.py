"""One update of the real agent with one fault in it, and what became of the device."""

import contextlib
import http.client
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal, get_args

import psutil
from tests.faults.storage.shim import FAULTS, Call, Fault, Plan
from tests.faults.storage.world import MODEL, Kind, World, copy_state, wait_for

from lamplighter_agent.core.update import RESTING
from lamplighter_agent.store.identity import load_identity
from lamplighter_agent.store.journal import Document, decode_journal
from lamplighter_protocol.errors import LamplighterError

ROOT: Final = Path(__file__).parents[3]
#: So long must nothing have changed for an update to be over.
QUIET_S: Final = 0.15
#: How long a device whose disk is read-only for good is watched.
PATIENCE_S: Final = 0.5
TIMEOUT_S: Final = 20.0

Ending = Literal["finished", "rolled back", "failed"]
ENDINGS: Final[tuple[Ending, ...]] = get_args(Ending)


@dataclass(frozen=True)
class Outcome:
    """What one fault did.

    Attributes:
        fault: Its name.
        call: The call that it struck.
        state: The state of the update that the journal held then.
        ending: Where the device came to rest; "failed" breaks the promise.
        why: What went wrong then.
    """

    fault: str
    call: Call
    state: str
    ending: Ending
    why: str = ""


class Bench:
    """A device whose folder is put back before every trial.

    Args:
        world: Its broker and releases.
        folder: Where its data lies while it runs; on a RAM disk to be quick.
        library: The compiled shim.
    """

    def __init__(self, world: World, folder: Path, library: Path) -> None:
        self.world = world
        self.data = folder / "data"
        self.data.mkdir()
        self._base = folder / "base"
        self._log = folder / "agent.log"
        self._plan = Plan(library, folder / "plan", self.data)

    def prepare(self, kind: Kind) -> None:
        """Commit release 1 without a fault, keep the folder, and let release 2 be assigned."""
        self.world.enrol(self.data / "identity")
        self.world.roll_out(1)
        with self._running() as agent:
            self._until_settled(agent, 1)
        copy_state(self.data, self._base)
        self.world.roll_out(2, kind)

    def count(self) -> list[Call]:
        """The calls of one update without a fault, in order."""
        self._plan.begin()
        copy_state(self._base, self.data)
        with self._running() as agent:
            self._until_settled(agent, 2)
            return self._plan.calls()

    def strike(self, name: str, at: int) -> Outcome | None:
        """Let one fault happen; None if the update was over before call `at`."""
        fault = FAULTS[name]
        copy_state(self._base, self.data)
        self._plan.begin(fault, at)
        identity = load_identity(self.data / "identity").enrolment
        with self._running() as agent:
            self._until_settled(agent, 2, or_stopped=True)
            if not self._plan.stopped:
                return None
            call, state = self._plan.calls()[at - 1], self._state()
            try:
                self._live_through(agent, fault)
                if fault.kills == "agent" or fault.lasts:
                    _kill(agent)
                    self._recover()
                ending: Ending = "finished" if self._committed() == 2 else "rolled back"
                if load_identity(self.data / "identity").enrolment != identity:
                    raise AssertionError("the identity is another one")
            except (AssertionError, TimeoutError, LamplighterError) as error:
                return Outcome(name, call, state, "failed", f"{type(error).__name__}: {error}")
        return Outcome(name, call, state, ending)

    def _live_through(self, agent: "subprocess.Popen[bytes]", fault: Fault) -> None:
        """A fault that kills nobody must not cost the device its supervisor or its model."""
        if fault.kills == "agent":
            return
        if fault.kills == "workers":
            for child in psutil.Process(agent.pid).children():
                child.kill()
        self._plan.resume()
        if not fault.lasts:
            self._until_settled(agent, 2)
            return
        end_mono = time.monotonic() + PATIENCE_S
        wait_for("an answer", lambda: self._answer() is not None or _gone(agent), TIMEOUT_S)
        wait_for("patience to end", lambda: time.monotonic() > end_mono or _gone(agent))
        if _gone(agent):
            raise AssertionError(f"the supervisor ended with {agent.returncode}")

    def _recover(self) -> None:
        """The next start without a fault: a verified release serves, the update ends."""
        self._plan.begin()
        with self._running() as agent:
            self._until_settled(agent, 2)

    @contextlib.contextmanager
    def _running(self) -> "Iterator[subprocess.Popen[bytes]]":
        with self._log.open("wb") as log:
            agent = subprocess.Popen(
                [
                    *(sys.executable, "-m", "tests.faults.storage.agent"),
                    *(str(self.data), str(self.world.serve_port)),
                ],
                cwd=ROOT,
                env={**os.environ, **self._plan.environment},
                stdout=log,
                stderr=log,
            )
        try:
            yield agent
        finally:
            _kill(agent)

    def _until_settled(
        self, agent: "subprocess.Popen[bytes]", release: int, *, or_stopped: bool = False
    ) -> None:
        """Wait until the attempt for a release is over, serves what the journal says, and rests."""
        changed_mono, count = time.monotonic(), -1

        def settled() -> bool:
            nonlocal changed_mono, count
            if or_stopped and self._plan.stopped:
                return True
            if _gone(agent):
                raise AssertionError(f"the supervisor ended with {agent.returncode}")
            if self._plan.count != count:
                changed_mono, count = time.monotonic(), self._plan.count
            return (
                time.monotonic() - changed_mono > QUIET_S
                and self._rests(release)
                and self._serves(self._committed())
            )

        try:
            wait_for(f"the update to release {release} to end", settled, TIMEOUT_S)
        except TimeoutError as error:
            raise TimeoutError(
                f"{error}: state {self._state()}, committed {self._committed()}, "
                f"answering {self._answer()}"
            ) from error

    def _document(self) -> Document:
        try:
            return decode_journal((self.data / "journal.json").read_bytes())
        except FileNotFoundError:
            return Document()

    def _state(self) -> str:
        model = self._document().models.get(MODEL)
        return model.state if model else "idle"

    def _committed(self) -> int:
        model = self._document().models.get(MODEL)
        return model.active.release if model and model.active else 0

    def _rests(self, release: int) -> bool:
        model = self._document().models.get(MODEL)
        attempt = model.attempt if model else None
        return (
            attempt is not None
            and attempt.state in RESTING - {"idle"}
            and attempt.assigned.release == release
        )

    def _serves(self, release: int) -> bool:
        """Whether requests are answered as the signed release answers, to a hundred-thousandth."""
        answer = self._answer()
        wanted = self.world.releases.get(release)
        return (
            answer is not None
            and wanted is not None
            and all(abs(a - b) < 1e-5 for a, b in zip(answer, wanted.answer, strict=True))
        )

    def _answer(self) -> list[float] | None:
        body = {
            "inputs": [{"name": "image", "shape": [1, 16], "datatype": "FP32", "data": [0.0] * 16}]
        }
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


def _gone(agent: "subprocess.Popen[bytes]") -> bool:
    return agent.poll() is not None


def _kill(agent: "subprocess.Popen[bytes]") -> None:
    """SIGKILL for the supervisor and all its children, as a power cut would."""
    if _gone(agent):
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
