"""Which boot of the board this is."""

from pathlib import Path
from typing import Final
from uuid import uuid4

_BOOT_ID: Final = Path("/proc/sys/kernel/random/boot_id")


def boot_id() -> str:
    """Names this boot of the board; where the kernel does not, this start of the agent."""
    try:
        return _BOOT_ID.read_text().strip()
    except OSError:
        return uuid4().hex
