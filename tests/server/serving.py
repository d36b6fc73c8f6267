"""The devices' door behind real TLS."""

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from lamplighter_server.app import _config, _device_tls, _Door
from lamplighter_server.context import Context
from lamplighter_server.doors import device_app


@asynccontextmanager
async def serving(context: Context) -> AsyncIterator[str]:
    """The devices' door on a free port."""
    door = _Door(_config(device_app(context), **_device_tls(context)))
    with socket.create_server(("127.0.0.1", 0)) as bound:
        task = asyncio.create_task(door.serve([bound]))
        await door.open.wait()
        yield f"https://127.0.0.1:{bound.getsockname()[1]}"
        door.should_exit = True
        await task
