"""A worker with all processes that it has started: who they are, what they take, how they end.

A worker leads a session of its own, and every process that it starts carries its mark in the
environment. The supervisor adopts those whose parent has ended (PR_SET_CHILD_SUBREAPER), so that
it finds even what has left the session.
"""

import contextlib
import ctypes
import os
import signal
import time
from pathlib import Path
from typing import Final

import psutil

MARK: Final = "LAMPLIGHTER_WORKER"
_PROC: Final = Path("/proc")
_PR_SET_PDEATHSIG: Final = 1
_PR_SET_CHILD_SUBREAPER: Final = 36
#: A killed process may leave children that are adopted one round later.
_ROUNDS: Final = 20
_DYING_S: Final = 0.002


def adopt_orphans() -> None:
    """Become the parent of every descendant whose own parent ends."""
    ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def die_with_parent() -> None:
    """Be killed when the process that has started this one ends, even in native code."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)


def members(leader: int, mark: str) -> set[int]:
    """The worker while it lives, what descends from it, and what was adopted from it."""
    ours = _children(os.getpid())
    waiting = {pid for pid in ours - {leader} if _is_marked(pid, mark) or _session(pid) == leader}
    if _is_marked(leader, mark):  # its number may belong to somebody else by now
        waiting.add(leader)
    found: set[int] = set()
    while waiting:
        pid = waiting.pop()
        found.add(pid)
        waiting |= _children(pid) - found
    return found


def rss_mb(pids: set[int]) -> float:
    """Resident memory of processes; what they share is counted for each."""
    return sum(map(_rss_bytes, pids)) / 2**20


def end(leader: int, mark: str) -> None:
    """Kill a worker and every process that it has started. The leader itself is not waited for."""
    for _ in range(_ROUNDS):
        found = members(leader, mark)
        for pid in found:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        if not found - {leader}:
            return
        time.sleep(_DYING_S)
        for pid in found - {leader}:
            with contextlib.suppress(ChildProcessError):
                os.waitpid(pid, os.WNOHANG)


def _children(pid: int) -> set[int]:
    try:
        tasks = list((_PROC / str(pid) / "task").iterdir())
        return {int(child) for task in tasks for child in (task / "children").read_text().split()}
    except ProcessLookupError:
        return set()
    except FileNotFoundError:  # it has ended, or the kernel does not list them
        with contextlib.suppress(psutil.NoSuchProcess):
            return {child.pid for child in psutil.Process(pid).children()}
        return set()


def _is_marked(pid: int, mark: str) -> bool:
    try:
        return f"{MARK}={mark}".encode() in (_PROC / str(pid) / "environ").read_bytes().split(b"\0")
    except OSError:
        return False


def _session(pid: int) -> int | None:
    try:
        return os.getsid(pid)
    except ProcessLookupError:
        return None


def _rss_bytes(pid: int) -> int:
    try:
        pages = int((_PROC / str(pid) / "statm").read_text().split()[1])
    except (OSError, IndexError):
        return 0
    return pages * os.sysconf("SC_PAGE_SIZE")
