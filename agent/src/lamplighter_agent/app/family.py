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
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Final

import psutil

MARK: Final = "LAMPLIGHTER_WORKER"
_PROC: Final = Path("/proc")
_PR_SET_CHILD_SUBREAPER: Final = 36
#: A killed process may leave children that are adopted one round later.
_ROUNDS: Final = 20
_DYING_S: Final = 0.002


@contextlib.contextmanager
def adopted_orphans() -> Iterator[None]:
    """Be the parent of every descendant whose own parent ends."""
    prctl = ctypes.CDLL(None).prctl
    prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    try:
        yield
    finally:
        prctl(_PR_SET_CHILD_SUBREAPER, 0, 0, 0, 0)


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


def held_mb(pids: Collection[int]) -> float:
    """Resident memory of processes; what several share is counted once."""
    measure = _rss_kb if len(pids) == 1 else _pss_kb  # the former is a hundred times quicker
    return sum(map(measure, pids)) / 1024


def end(leader: int, mark: str, workers: Collection[int]) -> None:
    """Kill a worker and every process that it has started.

    Args:
        leader: The worker's process id.
        mark: Its mark.
        workers: All that run, which somebody else waits for.
    """
    for _ in range(_ROUNDS):
        found = members(leader, mark)
        # A group is killed as one: who forks at this moment leaves no child behind.
        for pid in found:
            with contextlib.suppress(ProcessLookupError):
                if (group := os.getpgid(pid)) != os.getpgrp():
                    os.killpg(group, signal.SIGKILL)
        reap(workers)
        if not found - {leader}:
            return
        time.sleep(_DYING_S)


def reap(workers: Collection[int]) -> None:
    """Wait for adopted processes that have ended: those of other sessions that are no workers."""
    ours = os.getsid(0)
    for pid in _children(os.getpid()).difference(workers):
        if _session(pid) not in (ours, None):
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


def _rss_kb(pid: int) -> float:
    return _field_kb(pid, "status", b"VmRSS:")


def _pss_kb(pid: int) -> float:
    return _field_kb(pid, "smaps_rollup", b"Pss:")


def _field_kb(pid: int, file: str, name: bytes) -> float:
    try:
        lines = (_PROC / str(pid) / file).read_bytes().splitlines()
    except OSError:  # it has ended
        return 0.0
    return next((float(line.split()[1]) for line in lines if line.startswith(name)), 0.0)
