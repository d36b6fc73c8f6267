"""The listening sockets of one model: the supervisor's own, so that a switch drops no request."""

import contextlib
import logging
import os
import socket
from pathlib import Path
from typing import Final

from lamplighter_protocol.errors import LamplighterError

_LOG = logging.getLogger(__name__)
_BACKLOG: Final = 1024
#: Who may ask over the Unix socket: the agent's user and its group.
_MODE: Final = 0o660


class ModelSockets:
    """Loopback TCP and a Unix socket, opened once and handed to each worker of the model.

    Args:
        model: The model's name.
        folder: Where the Unix socket's file is made, as `MODEL.sock`.
        port: The loopback port; 0 takes a free one.

    Raises:
        LamplighterError: PORT_IN_USE.
    """

    def __init__(self, model: str, folder: Path, port: int) -> None:
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
        self.unix_path: Path | None = folder / f"{model}.sock"
        self._unix = socket.socket(socket.AF_UNIX)
        try:
            listen_unix(self._unix, self.unix_path)
        except LamplighterError:
            self._tcp.close()
            self._unix.close()
            raise
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


def listen_unix(unix: socket.socket, path: Path) -> None:
    """Listen at a path for the agent's user and group; what a dead process left there is removed.

    Raises:
        LamplighterError: PORT_IN_USE if somebody listens there, or if the file is no socket.
        OSError: There can be no socket here.
    """
    if path.is_symlink() or path.exists():
        if path.is_symlink() or not path.is_socket():
            raise LamplighterError("PORT_IN_USE", f"{path} is there and is no socket.")
        with socket.socket(socket.AF_UNIX) as probe:
            if probe.connect_ex(str(path)) == 0:
                raise LamplighterError("PORT_IN_USE", f"Another program listens at {path}.")
        path.unlink()
    os.fchmod(unix.fileno(), _MODE)  # so that nobody else gets in before the next but one line
    unix.bind(str(path))
    path.chmod(_MODE)
    unix.listen(_BACKLOG)
