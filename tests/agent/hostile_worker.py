"""A worker that does harm as its model file says, once it is to serve: a real process.

It answers like a worker before, so that the supervisor has every reason to trust it.
"""

import ctypes
import os
import sys
import time
from typing import Any

from tests.agent import fake_worker


def fork_once() -> None:
    """A child that outlives its parent and keeps our pipes open."""
    if os.fork() == 0:
        time.sleep(600)


def escape() -> None:
    """A daemon as textbooks have it: a new session, and no parent."""
    if os.fork() == 0:
        os.setsid()
        if os.fork() == 0:
            time.sleep(600)
        os._exit(0)


def fork_on() -> None:
    for _ in range(7):  # each of them does: 128 in the end
        os.fork()
    time.sleep(600)


def run_away() -> None:
    """Be another process before anybody has seen this one."""
    end_mono = time.monotonic() + 60
    while time.monotonic() < end_mono:
        if os.fork():
            os._exit(0)


def leak() -> None:
    kept = []
    while True:
        kept.append(b"x" * (4 * 2**20))
        time.sleep(0.005)


def leak_in_children() -> None:
    for _ in range(8):
        if os.fork() == 0:
            kept = b"x" * (24 * 2**20)
            time.sleep(600)
            del kept
    time.sleep(600)


def allocate_at_once() -> None:
    bytearray(2**40)


def hang_in_native_code() -> None:
    ctypes.PyDLL(None).sleep(600)  # with the lock of the interpreter held


def print_to_the_log() -> None:
    while True:
        os.write(2, b"x" * 65535 + b"\n")


def print_to_the_supervisor() -> None:
    while True:
        os.write(1, b"x" * 65535 + b"\n")


def print_an_endless_line() -> None:
    while True:
        os.write(1, b"x" * 65536)


def beat_without_end() -> None:
    beat = b'{"type":"beat","requests":0,"predicted":[],"latency":[],"errors":{},"rss_mb":1.0}\n'
    while True:
        os.write(1, beat * 500)


class Hostile(fake_worker.Worker):
    async def serve(self) -> None:
        await super().serve()
        if "harm" in self.plan:
            harm: Any = globals()[self.plan["harm"]]
            harm()


if __name__ == "__main__":
    fake_worker.Worker = Hostile  # type: ignore[misc]
    sys.exit(fake_worker.main())  # type: ignore[func-returns-value]
