"""What a newcomer meets before there is any Python: one sentence that says what to do."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

SETUP = Path(__file__).parents[2] / "tools/setup.sh"


@pytest.fixture
def bare(tmp_path: Path) -> Path:
    """A PATH with a shell and nothing that the project needs."""
    folder = tmp_path / "bin"
    folder.mkdir()
    for name in ("sh", "env"):
        (folder / name).symlink_to(str(shutil.which(name)))
    return folder


def program(folder: Path, name: str, script: str) -> None:
    path = folder / name
    path.write_text(f"#!{folder}/sh\n{script}\n")
    path.chmod(0o755)


def run_setup(folder: Path, cwd: Path) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [folder / "sh", SETUP, "runtime"],
        env={"PATH": str(folder), "HOME": os.environ["HOME"]},
        cwd=cwd,
        capture_output=True,
        text=True,
        timeout=30,
    )


def test_without_root_and_sudo_it_says_what_to_ask_for(bare: Path, tmp_path: Path) -> None:
    program(bare, "apt-get", "exit 99")
    program(bare, "id", "echo 1000")
    done = run_setup(bare, tmp_path)
    assert done.returncode == 1
    assert "Not root and no sudo" in done.stderr
    assert "apt-get install" in done.stderr
    assert not (tmp_path / ".venv").exists()


def test_without_a_package_manager_it_names_what_to_install(bare: Path, tmp_path: Path) -> None:
    done = run_setup(bare, tmp_path)
    assert done.returncode == 1
    assert "install" in done.stderr
    assert "python3" in done.stderr


def test_a_package_manager_that_fails_is_no_success(bare: Path, tmp_path: Path) -> None:
    program(bare, "apt-get", "exit 100")
    program(bare, "id", "echo 0")
    done = run_setup(bare, tmp_path)
    assert done.returncode == 1
    assert "apt-get failed" in done.stderr
