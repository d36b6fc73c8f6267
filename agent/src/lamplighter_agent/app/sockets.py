"""The listening sockets of one model: the supervisor's own, so that a switch drops no request."""

import contextlib
import logging
import socket
from pathlib import Path
from typing import Final

from lamplighter_protocol.errors import LamplighterError

_LOG = logging.getLogger(__name__)
_BACKLOG: Final = 1024


class ModelSockets:
    """Loopback TCP and a Unix socket, opened once and handed to each worker of the model."""

    def __init__(self, model: str, run: Path, port: int) -> None:
        self._tcp = socket.socket(socket.AF_INET)
        self._tcp.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            self._tcp.bind(("127.0.0.1", port))
        except OSError as error:
            self._tcp.close()
            raise LamplighterError(
                "PORT_IN_USE", f"Port {port} for {model} cannot be used: {error.strerror}."
            ) from error
        self._tcp.listen(_BACKLOG)
        self.unix_path: Path | None = run / f"{model}.sock"
        self._unix = socket.socket(socket.AF_UNIX)
        try:
            self.unix_path.unlink(missing_ok=True)
            self._unix.bind(str(self.unix_path))
            self._unix.listen(_BACKLOG)
        except OSError as error:  # a path over the 108 bytes that sockets allow; no room on disk
            _LOG.warning("%s has no Unix socket: %s", model, error)
            self._unix.close()
            self.unix_path = None

    @property
    def url(self) -> str:
        """Where the model is served over TCP."""
        return f"http://127.0.0.1:{self._tcp.getsockname()[1]}"

    @property
    def fds(self) -> list[int]:
        """The descriptors that a worker inherits."""
        return [item.fileno() for item in (self._tcp, self._unix) if item.fileno() >= 0]

    def close(self) -> None:
        """Close both; the Unix socket's file goes."""
        self._tcp.close()
        self._unix.close()
        if self.unix_path is not None:
            with contextlib.suppress(OSError):
                self.unix_path.unlink()
