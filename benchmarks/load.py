"""Closed-loop HTTP clients that cost next to nothing: one thread, bare sockets, a ready request."""

import selectors
import socket
import time
from typing import NamedTuple


class Load(NamedTuple):
    """What the clients saw."""

    requests_per_s: float
    p50_ms: float
    p99_ms: float


def ask(port: int, request: bytes) -> None:
    """Send one request and wait for the whole answer.

    Raises:
        OSError: Nobody listens.
        RuntimeError: An answer other than 200.
    """
    with socket.create_connection(("127.0.0.1", port)) as client:
        client.sendall(request)
        raw = client.recv(65536)
        while not is_whole(raw):
            raw += client.recv(65536)


def drive(port: int, request: bytes, *, clients: int, seconds: float) -> Load:
    """Let each client send, wait for the whole answer and send again.

    Args:
        port: On 127.0.0.1.
        request: Head and body.
        clients: How many connections are open.
        seconds: How long.

    Raises:
        RuntimeError: An answer other than 200.
    """
    selector = selectors.DefaultSelector()
    sent_at: dict[socket.socket, float] = {}
    received: dict[socket.socket, bytes] = {}
    for _ in range(clients):
        client = socket.create_connection(("127.0.0.1", port))
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        selector.register(client, selectors.EVENT_READ)
        received[client] = b""
    taken_s = []
    started_mono = time.perf_counter()
    end_mono = started_mono + seconds
    for client in received:
        sent_at[client] = time.perf_counter()
        client.sendall(request)
    while (now_mono := time.perf_counter()) < end_mono:
        for key, _ in selector.select(1):
            ready = key.fileobj
            assert isinstance(ready, socket.socket)
            received[ready] += ready.recv(65536)
            if not is_whole(received[ready]):
                continue
            now_mono = time.perf_counter()
            taken_s.append(now_mono - sent_at[ready])
            received[ready] = b""
            sent_at[ready] = now_mono
            ready.sendall(request)
    elapsed_s = now_mono - started_mono
    for client in received:
        client.close()
    selector.close()
    taken_s.sort()
    return Load(
        len(taken_s) / elapsed_s,
        taken_s[len(taken_s) // 2] * 1000,
        taken_s[len(taken_s) * 99 // 100] * 1000,
    )


def is_whole(raw: bytes) -> bool:
    """Whether an answer with a Content-Length has arrived.

    Raises:
        RuntimeError: It is no 200, or the connection was closed.
    """
    if not raw.startswith(b"HTTP/1.1 200"):
        raise RuntimeError(f"the server answers {raw[:200]!r}")
    head, end, body = raw.partition(b"\r\n\r\n")
    if not end:
        return False
    _, _, length = head.lower().partition(b"content-length:")
    return len(body) >= int(length.split(b"\r\n", 1)[0])
