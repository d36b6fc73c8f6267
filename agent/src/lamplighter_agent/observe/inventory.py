"""What the board is; the director chooses variants by it."""

import asyncio
import logging
import platform
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final, get_args
from uuid import uuid4

import msgspec
import psutil

from lamplighter_agent import __version__
from lamplighter_protocol.assignment import ENCRYPTED, PATCHES, Mode
from lamplighter_protocol.reported import Inventory

_LOG = logging.getLogger(__name__)

PROBE: Final = (sys.executable, "-m", "lamplighter_agent.runtime.probe")
PROBE_TIMEOUT_S: Final = 60.0
_BOOT_ID: Final = Path("/proc/sys/kernel/random/boot_id")


async def take_inventory(command: Sequence[str] = PROBE) -> Inventory:
    """Ask the board, and a child process for the runtimes that really work here.

    Args:
        command: A program that prints runtime names and versions as a JSON object.
    """
    return describe_board(await _probe_runtimes(command))


def describe_board(runtimes: dict[str, str]) -> Inventory:
    """The inventory with the given runtimes, by name and version."""
    return Inventory(
        machine=platform.machine(),
        runtimes=runtimes,
        ram_mb=psutil.virtual_memory().total // 2**20,
        python=platform.python_version(),
        agent_version=__version__,
        system=_system(),
        transfers=(ENCRYPTED, *PATCHES),
        modes=get_args(Mode),
    )


def boot_id() -> str:
    """Names this boot of the board; where the kernel does not, this start of the agent."""
    try:
        return _BOOT_ID.read_text().strip()
    except OSError:
        return uuid4().hex


def _system() -> str:
    try:
        return platform.freedesktop_os_release().get("PRETTY_NAME", platform.system())
    except OSError:
        return platform.system()


async def _probe_runtimes(command: Sequence[str]) -> dict[str, str]:
    """A runtime whose import crashes or hangs takes only the child with it."""
    child = await asyncio.create_subprocess_exec(
        *command,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,  # runtimes chat, and broken ones print tracebacks
    )
    try:
        out, _ = await asyncio.wait_for(child.communicate(), PROBE_TIMEOUT_S)
        return msgspec.json.decode(out, type=dict[str, str])
    except (asyncio.TimeoutError, msgspec.MsgspecError) as error:
        _LOG.warning("no runtime could be found out: %s", error)
        return {}
    finally:
        if child.returncode is None:
            child.kill()
            await child.wait()
