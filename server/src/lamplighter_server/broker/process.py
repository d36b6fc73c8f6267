"""The managed Mosquitto: started, watched, started again, and stopped with the server."""

import asyncio
import getpass
import logging
import os
import shutil
import signal
import ssl
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Final

from lamplighter_protocol.errors import LamplighterError
from lamplighter_protocol.topics import Topics
from lamplighter_server.broker.config import BrokerFiles, config_text, permissions_text
from lamplighter_server.context import Context
from lamplighter_server.devices import revocation
from lamplighter_server.files import write_durably
from lamplighter_server.pki.authority import INGEST
from lamplighter_server.tasks import cancel

START_TIMEOUT_S: Final = 10.0
HANDSHAKE_TIMEOUT_S: Final = 1.0
POLL_INTERVAL_S: Final = 0.05
STOP_TIMEOUT_S: Final = 5.0
RESTART_DELAY_S: Final = 0.5
#: The log and its predecessor take at most twice this.
MAX_LOG_BYTES: Final = 4 * 1024 * 1024
_log = logging.getLogger(__name__)


class ManagedBroker:
    """One Mosquitto process and its configuration."""

    def __init__(self, files: BrokerFiles, host: str, port: int, tls: ssl.SSLContext) -> None:
        self._files = files
        self._host = host
        self._port = port
        self._tls = tls
        self._process: asyncio.subprocess.Process | None = None

    @property
    def pid(self) -> int | None:
        """The id of the running process."""
        return self._process.pid if self._process is not None else None

    def write_config(self, topics: Topics) -> None:
        """Write configuration and permissions."""
        user = getpass.getuser()
        config = config_text(self._files, host=self._host, port=self._port, user=user)
        write_durably(self._files.config, config.encode())
        write_durably(self._files.permissions, permissions_text(topics).encode())

    async def start(self) -> None:
        """Start Mosquitto and wait until it accepts TLS.

        Raises:
            LamplighterError: BROKER_MISSING, or BROKER_FAILED with the last lines of its log.
        """
        self._process = await asyncio.create_subprocess_exec(
            *_ending_with_us(),
            _find_mosquitto(),
            "-c",
            str(self._files.config),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.DEVNULL,
            start_new_session=True,  # Ctrl-C is for us: the broker goes last
        )
        end_mono = time.monotonic() + START_TIMEOUT_S
        while not await self._accepts():
            if self._process.returncode is not None or time.monotonic() > end_mono:
                await self.stop()
                raise LamplighterError("BROKER_FAILED", f"Mosquitto did not start: {self._tail()}")
            await asyncio.sleep(POLL_INTERVAL_S)

    async def watch(self) -> None:
        """Start it again whenever it dies; runs until cancelled."""
        while True:
            if self._process is not None:
                code = await self._process.wait()
                _log.error("Mosquitto ended with %s: %s", code, self._tail())
            try:
                await self.start()
                _log.info("Mosquitto runs again")
            except LamplighterError as error:
                _log.error("%s", error)
                await asyncio.sleep(RESTART_DELAY_S)

    def reload(self) -> None:
        """Have it read its certificates and the list of revoked ones again; connections stay."""
        if self._process is not None:
            with suppress(ProcessLookupError):  # it has died: the next one reads them anyway
                self._process.send_signal(signal.SIGHUP)

    def set_log_aside(self) -> bool:
        """Make room for a new log once this one is long; the one before is given up.

        Returns:
            Whether the broker must be told by `reload`.
        """
        log = self._files.log
        if not log.exists() or log.stat().st_size < MAX_LOG_BYTES:
            return False
        log.replace(log.with_name(f"{log.name}.1"))
        return True

    def kill(self) -> None:
        """End the process at once, as a crash would; `watch` starts it again."""
        if self._process is not None:
            self._process.kill()

    async def stop(self) -> None:
        """End the process and wait for it."""
        process, self._process = self._process, None
        if process is None:
            return
        with suppress(ProcessLookupError):
            process.terminate()
        try:
            async with asyncio.timeout(STOP_TIMEOUT_S):
                await process.wait()
        except TimeoutError:
            process.kill()
            await process.wait()

    async def _accepts(self) -> bool:
        try:
            _, writer = await asyncio.open_connection(
                "127.0.0.1", self._port, ssl=self._tls, ssl_handshake_timeout=HANDSHAKE_TIMEOUT_S
            )
        except OSError:
            return False
        writer.close()
        with suppress(OSError):
            await writer.wait_closed()
        return True

    def _tail(self) -> str:
        try:
            lines = self._files.log.read_text(errors="replace").splitlines()[-3:]
        except FileNotFoundError:
            return "it left no log."
        return " / ".join(lines)


@asynccontextmanager
async def managed_broker(context: Context) -> AsyncIterator[ManagedBroker]:
    """Run the broker for as long as the block runs.

    Raises:
        LamplighterError: BROKER_MISSING or BROKER_FAILED.
    """
    settings, authority = context.settings, context.authority
    certificate, key = authority.server_paths
    files = BrokerFiles(
        settings.folder / "broker", authority.ca_path, certificate, key, authority.revoked_path
    )
    await revocation.publish(context)
    broker = ManagedBroker(
        files, settings.device_host, settings.broker_port, authority.client_tls(INGEST)
    )
    broker.write_config(context.topics)
    await broker.start()
    watcher = asyncio.create_task(broker.watch())
    try:
        yield broker
    finally:
        await cancel([watcher])
        await broker.stop()


def _find_mosquitto() -> str:
    places = ("/usr/sbin", "/usr/local/sbin", "/opt/homebrew/sbin")
    found = shutil.which("mosquitto", path=os.pathsep.join((os.environ.get("PATH", ""), *places)))
    if found is None:
        raise LamplighterError("BROKER_MISSING", "The program mosquitto is not installed.")
    return found


def _ending_with_us() -> tuple[str, ...]:
    """Have the kernel end the broker even if we are killed; util-linux, so on Linux only."""
    setpriv = shutil.which("setpriv")
    return (setpriv, "--pdeathsig", "TERM") if setpriv else ()
