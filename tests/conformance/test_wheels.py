"""The agent's wheel alone, in an empty environment, must run; each wheel brings what it imports."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
UV = Path(sys.executable).parent / "uv"
pytestmark = [pytest.mark.system, pytest.mark.timeout(300)]

IMPORT_ALL = """
import importlib, pkgutil, sys
name, skipped = sys.argv[1], set(sys.argv[2:])
package = importlib.import_module(name)
for module in pkgutil.walk_packages(package.__path__, name + "."):
    if module.name not in skipped:
        importlib.import_module(module.name)
"""


def run(*command: str | Path, **environment: str) -> str:
    done = subprocess.run(
        command,
        capture_output=True,
        text=True,
        env={**os.environ, "UV_PYTHON_DOWNLOADS": "never", **environment},
        cwd=ROOT,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def wheels(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheels")
    for project in ("protocol", "agent", "converters"):
        run(UV, "build", "--wheel", "--quiet", "--out-dir", folder, project)
    return folder


def install(wheels: Path, tmp_path: Path, requirement: str) -> Path:
    python = tmp_path / "env/bin/python"
    run(UV, "venv", "--quiet", "--python", sys.executable, tmp_path / "env")
    run(
        *(UV, "pip", "install", "--quiet", "--python", python),
        *("--find-links", wheels, "--constraint", "requirements.lock", requirement),
    )
    return python


def test_the_agent_runs_alone(wheels: Path, tmp_path: Path) -> None:
    python = install(wheels, tmp_path, "lamplighter-agent[onnx]==0.1.0")
    run(python, "-c", IMPORT_ALL, "lamplighter_protocol")
    # litert is another extra; __main__ modules run when they are imported.
    run(
        *(python, "-c", IMPORT_ALL, "lamplighter_agent"),
        *("lamplighter_agent.runtime.litert", "lamplighter_agent.__main__"),
    )
    assert json.loads(run(python, "-m", "lamplighter_agent.runtime.probe")).keys() == {
        "onnxruntime"
    }
    assert run(tmp_path / "env/bin/lamplighter-agent", "--version").strip() == "0.1.0"
    listed = json.loads(run(UV, "pip", "list", "--python", python, "--format", "json"))
    names = {package["name"] for package in listed}
    assert not names & {"scikit-learn", "fastapi", "sqlalchemy", "lamplighter-server"}


def test_the_converters_import_alone(wheels: Path, tmp_path: Path) -> None:
    python = install(wheels, tmp_path, "lamplighter-converters==0.1.0")
    run(python, "-c", IMPORT_ALL, "lamplighter_converters")
