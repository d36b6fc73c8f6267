"""Sends copies of answered requests to the release in shadow, off the path of the requests."""

import logging
import socket
import threading
from collections import deque
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Final, NamedTuple

from lamplighter_agent.ports.session import Tensors
from lamplighter_agent.serve.copies import MAX_COPY_BYTES, encode, measure, short_path

#: What may wait to be sent; a request beyond it is not copied.
MAX_WAITING: Final = 256
MAX_WAITING_BYTES: Final = 8 * 1024 * 1024
#: How often it is looked what waits, and how much is sent then: to be woken by each request, or to
#: send without end, would take its time from the requests.
LOOK_INTERVAL_S: Final = 0.02
MAX_COPIES_PER_LOOK: Final = 32
#: How long the other end may take for one copy, and how long it is left alone after a failure.
SEND_TIMEOUT_S: Final = 2.0
PAUSE_S: Final = 1.0
_LOG = logging.getLogger(__name__)


class _Request(NamedTuple):
    inputs: Tensors
    classes: Iterable[int]
    size_bytes: int


class Mirroring:
    """A bounded queue and a thread that empties it. What finds no room is counted, not waited for.

    Args:
        path: The Unix socket of the release in shadow.
        labels: The signed labels of the release that answers.
    """

    def __init__(self, path: Path, labels: Sequence[str]) -> None:
        self._path = path
        self._labels = labels
        self._waiting: deque[_Request] = deque()
        self._waiting_bytes = 0
        self._missed = 0
        self._lock = threading.Lock()
        self._closed = threading.Event()
        self._thread = threading.Thread(target=self._run, name="mirror", daemon=True)
        self._thread.start()

    def copy(self, inputs: Tensors, classes: Iterable[int]) -> None:
        """Take note of an answered request; returns at once.

        Args:
            inputs: Its arrays, which nobody changes any more.
            classes: The answered label of each row, by position.
        """
        size_bytes = measure(inputs)
        with self._lock:
            if (
                len(self._waiting) >= MAX_WAITING
                or self._waiting_bytes + size_bytes > MAX_WAITING_BYTES
            ):
                self._missed += 1
                return
            self._waiting.append(_Request(inputs, classes, size_bytes))
            self._waiting_bytes += size_bytes

    def close(self) -> None:
        """Send no more."""
        self._closed.set()

    def _run(self) -> None:
        while not self._closed.is_set():
            self._connect()
            self._closed.wait(PAUSE_S)

    def _connect(self) -> None:
        try:
            with socket.socket(socket.AF_UNIX) as other:
                other.settimeout(SEND_TIMEOUT_S)
                with short_path(self._path) as path:
                    other.connect(path)
                self._send_all(other)
        except OSError as error:
            _LOG.info("the release in shadow takes no copies: %s", error)

    def _send_all(self, other: socket.socket) -> None:
        while not self._closed.wait(LOOK_INTERVAL_S):
            for _ in range(min(len(self._waiting), MAX_COPIES_PER_LOOK)):
                self._send_one(other)

    def _send_one(self, other: socket.socket) -> None:
        with self._lock:
            request = self._waiting.popleft()
            self._waiting_bytes -= request.size_bytes
            missed, self._missed = self._missed, 0
        frame = encode(request.inputs, [self._labels[at] for at in request.classes], missed)
        try:
            if len(frame) > MAX_COPY_BYTES:
                raise OSError(f"a copy of {len(frame)} bytes is too large")
            other.sendall(frame)
        except OSError:
            with self._lock:
                self._missed += missed + 1
            raise
