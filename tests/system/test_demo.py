"""The promise of the README: one command, eight verified steps, nothing left behind."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest


@pytest.mark.system
@pytest.mark.timeout(300)
def test_the_story_holds_and_leaves_nothing_behind(
    tmp_path: Path, require_program: Callable[..., str]
) -> None:
    require_program("mosquitto")
    environment = {**os.environ, "TMPDIR": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, "-m", "lamplighter_server.cli", "demo", "--exit", "--json"],
        capture_output=True,
        text=True,
        env=environment,
        check=False,
        timeout=280,
    )
    assert done.returncode == 0, done.stderr[-4000:]
    told = json.loads(done.stdout)
    assert [step["verified"] for step in told["steps"]] == [True] * 8
    assert told["console"].startswith("http://127.0.0.1:")
    assert list(tmp_path.iterdir()) == []
    left = [
        process.info["cmdline"]
        for process in psutil.process_iter(["cmdline"])
        if any(str(tmp_path) in part for part in process.info["cmdline"] or [])
    ]
    assert left == []
