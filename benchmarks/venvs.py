"""Throw-away environments for peers that are no dependencies of this project."""

import os
import subprocess
import sys
from pathlib import Path

import report


def install(name: str, *requirements: str) -> Path:
    """An environment with exactly these requirements, kept in the user's cache.

    Returns:
        Its folder of programs.
    """
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    home = cache / "lamplighter-benchmarks" / f"{name}-py{sys.version_info[0]}{sys.version_info[1]}"
    done, wanted = home / "installed", "\n".join(requirements)
    if not done.exists() or done.read_text() != wanted:
        report.progress(f"Installing {', '.join(requirements)} into {home}")
        subprocess.run([sys.executable, "-m", "venv", "--clear", str(home)], check=True)
        subprocess.run([home / "bin/pip", "install", "-qq", *requirements], check=True)
        done.write_text(wanted)
    return home / "bin"
