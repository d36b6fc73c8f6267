"""What a process that the supervisor has started does first."""

import ctypes
import os
import signal
import sys
from typing import IO, Final

_PR_SET_PDEATHSIG: Final = 1


def die_with_parent() -> None:
    """Be killed when the process that has started this one ends, even in native code."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)


def take_standard_output() -> IO[bytes]:
    """Keep the pipe to the supervisor for ourselves: whatever others print goes to the log."""
    out = os.fdopen(os.dup(sys.stdout.fileno()), "wb")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    return out
