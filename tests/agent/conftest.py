import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest


@pytest.fixture
def mosquitto(
    tmp_path: Path, free_port: Callable[[], int], require_program: Callable[..., str]
) -> Iterator[int]:
    """A broker without TLS on loopback; gives its port."""
    port = free_port()
    config = tmp_path / "mosquitto.conf"
    config.write_text(
        f"listener {port} 127.0.0.1\nallow_anonymous true\nuser root\n"
        "max_queued_messages 0\nlog_type error\n"
    )
    broker = subprocess.Popen([require_program("mosquitto"), "-c", str(config)])
    try:
        for _ in range(200):
            try:
                socket.create_connection(("127.0.0.1", port), timeout=1).close()
                break
            except ConnectionRefusedError:
                time.sleep(0.02)
        yield port
    finally:
        broker.terminate()
        broker.wait()
