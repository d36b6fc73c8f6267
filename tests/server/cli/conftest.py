import os
import signal
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tests.server.cli.running import COMMAND, Up


@pytest.fixture
def up(
    tmp_path: Path, free_port: Callable[[], int], require_program: Callable[..., str]
) -> Iterator[Up]:
    require_program("mosquitto")
    http, device, broker = (str(free_port()) for _ in range(3))
    ports = ["--port", http, "--device-port", device, "--broker-port", broker]
    process = subprocess.Popen(
        [*COMMAND, "up", "--data-dir", str(tmp_path / "data"), *ports],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
    )
    with process:
        assert process.stdout is not None
        first = process.stdout.readline()
        try:
            assert first == f"Lamplighter is up. Console: http://127.0.0.1:{http}\n"
            yield Up(process, f"http://127.0.0.1:{http}", tmp_path / "data", ports)
        finally:
            process.send_signal(signal.SIGINT)
            process.wait(30)
