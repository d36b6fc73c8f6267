import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tests.agent.tls import wait_until_listening


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
        wait_until_listening(port)
        yield port
    finally:
        broker.terminate()
        broker.wait()
