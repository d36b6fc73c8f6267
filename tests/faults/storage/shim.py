"""The driver's side of shim.c: which call to stop at, and what it does then."""

import ctypes
import errno
import mmap
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

_SOURCE: Final = Path(__file__).with_name("shim.c")
_CALLS: Final = 8192
_KINDS: Final = {"pwrite": "write", "fdatasync": "fsync", "unlinkat": "unlink"}


@dataclass(frozen=True)
class Call:
    """A call that would change the folder; `place` is the path below it."""

    name: str
    place: str

    @property
    def kind(self) -> str:
        """Its name without the variants of the C library."""
        return _KINDS.get(self.name, self.name)

    @property
    def part(self) -> str:
        """The part of the store that it changes."""
        return self.place.partition("/")[0].split(".")[0] or "the folder itself"


@dataclass(frozen=True)
class Fault:
    """What happens at the chosen call.

    Attributes:
        kills: Who is killed there: the whole agent, its workers, or nobody.
        error: What the call ends with; 0 lets it be done.
        lasts: Whether every later call ends so too, until the agent is started again.
        torn: Whether half of a write is done before.
    """

    kills: str | None = None
    error: int = 0
    lasts: bool = False
    torn: bool = False


#: By the name that the tables use.
FAULTS: Final[Mapping[str, Fault]] = {
    "cut": Fault(kills="agent"),
    "torn write": Fault(kills="agent", torn=True),
    "ENOSPC": Fault(error=errno.ENOSPC),
    "EIO": Fault(error=errno.EIO),
    "EROFS": Fault(error=errno.EROFS, lasts=True),
    "worker": Fault(kills="workers"),
}


class _Call(ctypes.Structure):
    _fields_ = (("name", ctypes.c_char * 16), ("place", ctypes.c_char * 112))


class _Plan(ctypes.Structure):
    _fields_ = (
        *((name, ctypes.c_uint32) for name in ("count", "at", "error", "lasts", "torn")),
        *((name, ctypes.c_uint32) for name in ("stopped", "resumed", "open")),
        ("calls", _Call * _CALLS),
    )


def build_shim(folder: Path, compiler: str) -> Path:
    """Compile the shim for this machine."""
    library = folder / "shim.so"
    command = [compiler, "-shared", "-fPIC", "-O2", "-o", str(library), str(_SOURCE), "-ldl"]
    subprocess.run(command, check=True)
    return library


class Plan:
    """The memory that the driver shares with one agent's processes.

    Args:
        library: The compiled shim.
        file: Where the memory lies.
        root: The agent's data folder.
    """

    def __init__(self, library: Path, file: Path, root: Path) -> None:
        file.write_bytes(bytes(ctypes.sizeof(_Plan)))
        with file.open("r+b") as opened:
            self._memory = mmap.mmap(opened.fileno(), 0)
        self._plan = _Plan.from_buffer(self._memory)
        self.environment = {
            "LD_PRELOAD": str(library),
            "STORAGE_PLAN": str(file),
            "STORAGE_ROOT": str(root),
        }

    def begin(self, fault: Fault | None = None, at: int = 0) -> None:
        """Number the calls anew and stop at call `at` of them, if there is a fault."""
        ctypes.memset(ctypes.byref(self._plan), 0, ctypes.sizeof(_Plan))
        if fault is not None:
            self._plan.at, self._plan.error = at, fault.error
            self._plan.lasts, self._plan.torn = fault.lasts, fault.torn
        self._plan.open = 1

    @property
    def count(self) -> int:
        """How many calls there were."""
        return int(self._plan.count)

    @property
    def met(self) -> bool:
        """Whether the chosen call was met."""
        return bool(self._plan.stopped)

    def resume(self) -> None:
        """Let the agent go on."""
        self._plan.resumed = 1

    def calls(self) -> list[Call]:
        """What was called since `begin`, in order."""
        assert self.count <= _CALLS
        return [
            Call(item.name.decode().removesuffix("64"), item.place.decode())
            for item in self._plan.calls[: self.count]
        ]
