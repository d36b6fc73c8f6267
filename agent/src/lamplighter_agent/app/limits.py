"""What a worker may take of the board, set from outside once it has started."""

import contextlib
import os
import resource
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from lamplighter_agent.app import family
from lamplighter_protocol.errors import LamplighterError

#: How many processes a worker may be; runtimes start a helper or two, if any.
MAX_PROCESSES: Final = 16
#: What is allowed above the signed budget before a worker is ended: the verdict on its health
#: comes first, and says more.
_HEADROOM: Final = 1.25
#: Address space that is written to but rarely resident: stacks of threads, arenas of malloc.
_UNUSED_MB: Final = 512.0
_MB: Final = 2**20


@dataclass(frozen=True)
class Limits:
    """The limits of one worker.

    Attributes:
        budget_mb: The memory that its release was signed for.
        in_shadow: Whether it runs beside the release that answers: at the lowest priority, and
            the first to go when the board is short of memory.
    """

    budget_mb: float
    in_shadow: bool = False

    @property
    def memory_mb(self) -> float:
        """What all its processes may hold together."""
        return self.budget_mb * _HEADROOM

    @property
    def oom_score_adj(self) -> int:
        """See proc(5); the supervisor keeps 0."""
        return 1000 if self.in_shadow else 500

    def apply(self, pid: int) -> None:
        """Limit a process that has just started, and all that it will start."""
        data_bytes = int((self.memory_mb + _UNUSED_MB) * _MB)
        with contextlib.suppress(ProcessLookupError):
            _lower(pid, resource.RLIMIT_DATA, data_bytes)
            _lower(pid, resource.RLIMIT_CORE, 0)
            if self.in_shadow:
                os.setpriority(os.PRIO_PROCESS, pid, 19)
        with contextlib.suppress(OSError):
            Path(f"/proc/{pid}/oom_score_adj").write_text(str(self.oom_score_adj))

    def check(self, leader: int, mark: str) -> LamplighterError | None:
        """What a worker has broken, by what all its processes take now."""
        pids = family.members(leader, mark)
        if len(pids) > MAX_PROCESSES:
            return LamplighterError(
                "WORKER_FORKED",
                f"Worker {leader} has become {len(pids)} processes; {MAX_PROCESSES} are allowed.",
            )
        held_mb = family.held_mb(pids)
        if held_mb > self.memory_mb:
            return LamplighterError(
                "MEMORY_OVER_BUDGET",
                f"Worker {leader} held {held_mb:.0f} MB; it was signed for {self.budget_mb:.0f}.",
            )
        return None


def _lower(pid: int, which: int, limit: int) -> None:
    """Set a limit, but never above the one that is there: that would need privileges."""
    _, hard = resource.prlimit(pid, which)
    if hard != resource.RLIM_INFINITY:
        limit = min(limit, hard)
    resource.prlimit(pid, which, (limit, limit))
