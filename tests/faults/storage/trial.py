"""One update of the real agent with one fault in it, and what became of the device."""

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal, get_args

import psutil
from tests.faults.storage.device import Agent, Device, kill
from tests.faults.storage.shim import FAULTS, Call, Fault, Plan
from tests.faults.storage.world import Kind, World, copy_state, wait_for

from lamplighter_agent.store.identity import load_identity
from lamplighter_protocol.errors import LamplighterError

#: How long a device whose disk is read-only for good is watched.
PATIENCE_S: Final = 0.5

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
        data = folder / "data"
        data.mkdir()
        self._base = folder / "base"
        self._plan = Plan(library, folder / "plan", data)
        self.device = Device(world, data, folder / "agent.log", self._plan.environment)

    def prepare(self, kind: Kind) -> None:
        """Commit release 1 without a fault, keep the folder, and let release 2 be assigned."""
        device = self.device
        device.world.enrol(device.data / "identity")
        device.world.roll_out(1)
        with device.running() as agent:
            device.until_settled(agent, 1)
        copy_state(device.data, self._base)
        device.world.roll_out(2, kind)

    def count(self) -> list[Call]:
        """The calls of one update without a fault, in order."""
        self._begin()
        with self.device.running() as agent:
            self._until_settled(agent)
            return self._plan.calls()

    def strike(self, name: str, at: int) -> Outcome | None:
        """Let one fault happen; None if the update was over before call `at`."""
        fault, device = FAULTS[name], self.device
        self._begin(fault, at)
        identity = load_identity(device.data / "identity").enrolment
        call, state = Call("none", ""), "none"
        with device.running() as agent:
            try:
                self._until_settled(agent)
                if not self._plan.met:
                    return None
                call, state = self._plan.calls()[at - 1], device.state
                self._live_through(agent, fault)
                if fault.kills == "agent" or fault.lasts:
                    kill(agent)
                    self._recover()
                if load_identity(device.data / "identity").enrolment != identity:
                    raise AssertionError("the identity is another one")
            except (AssertionError, TimeoutError, LamplighterError) as error:
                why = f"{type(error).__name__}: {error}"
                return Outcome(name, call, state, "failed", why)
        ending: Ending = "finished" if device.committed == 2 else "rolled back"
        return Outcome(name, call, state, ending)

    def _begin(self, fault: Fault | None = None, at: int = 0) -> None:
        copy_state(self._base, self.device.data)
        self._plan.begin(fault, at)

    def _live_through(self, agent: Agent, fault: Fault) -> None:
        """A fault that kills nobody must not cost the device its supervisor or its model."""
        if fault.kills == "agent":
            return
        if fault.kills == "workers":
            for child in psutil.Process(agent.pid).children():
                child.kill()
        self._plan.resume()
        if not fault.lasts:
            self._until_settled(agent)
            return
        end_mono = time.monotonic() + PATIENCE_S

        def lived() -> bool:
            self.device.must_run(agent)
            return time.monotonic() > end_mono and self.device.answer() is not None

        wait_for("an answer from a device that cannot write", lived)

    def _recover(self) -> None:
        """The next start without a fault: a verified release serves, the update ends."""
        self._plan.begin()
        with self.device.running() as agent:
            self._until_settled(agent)

    def _until_settled(self, agent: Agent) -> None:
        """Also ends when the chosen call is met for the first time."""
        met = self._plan.met
        self.device.until_settled(
            agent, 2, stamp=lambda: self._plan.count, stopped=lambda: self._plan.met and not met
        )
