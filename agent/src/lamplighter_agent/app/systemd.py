"""Tells systemd that the agent is ready and alive, and what it does: sd_notify(3)."""

import asyncio
import os
import socket
from typing import Final

#: WatchdogSec is divided by this: one late sign of life must not be taken for a hang.
SIGNS_PER_WATCHDOG: Final = 3


def notify(**state: str) -> None:
    """Send assignments such as READY="1"; nothing happens where no systemd listens.

    A manager that is gone or slow must not hold the agent up, so what cannot be sent is dropped.
    """
    address = os.environ.get("NOTIFY_SOCKET", "")
    if not address:
        return
    if address.startswith("@"):
        address = "\0" + address[1:]
    message = "\n".join(f"{name}={' '.join(value.split())}" for name, value in state.items())
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as manager:
        manager.setblocking(False)
        try:
            manager.sendto(message.encode(), address)
        except OSError:
            return


def watchdog_interval_s() -> float | None:
    """How often systemd wants a sign of life from this process; None if it wants none."""
    wanted_us = os.environ.get("WATCHDOG_USEC", "")
    pid = os.environ.get("WATCHDOG_PID", str(os.getpid()))
    if not wanted_us.isdecimal() or int(wanted_us) == 0 or pid != str(os.getpid()):
        return None
    return int(wanted_us) / 1e6 / SIGNS_PER_WATCHDOG


async def stay_alive() -> None:
    """As long as the event loop turns, systemd lets the agent live."""
    interval_s = watchdog_interval_s()
    while interval_s is not None:
        notify(WATCHDOG="1")
        await asyncio.sleep(interval_s)
