"""The "not now" lock: an application holds a file to keep updates away from what it does."""

import fcntl
import os
from pathlib import Path


def is_held(path: Path) -> bool:
    """Whether a living process holds an exclusive `flock` on the file.

    The kernel drops the lock when its process ends, however it ends: nothing can be left behind.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    except OSError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:  # no file that could be locked, such as a directory on some systems
        return False
    finally:
        os.close(descriptor)
    return False
