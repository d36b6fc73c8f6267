"""What every benchmark prints: figures with the machine, the versions and the command."""

import json
import os
import platform
import shutil
import sys
from importlib import metadata
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).parent / "results"


def machine() -> dict[str, Any]:
    """The board under the figures."""
    model = platform.processor() or platform.machine()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        names = [line for line in cpuinfo.read_text().splitlines() if line.startswith("model name")]
        model = names[0].partition(":")[2].strip() if names else model
    return {
        "cpu": model,
        "cores": os.cpu_count(),
        "machine": platform.machine(),
        "system": platform.system(),
        "python": platform.python_version(),
    }


def publish(
    name: str, *, figures: dict[str, Any], peers: dict[str, Any], packages: tuple[str, ...]
) -> None:
    """Write `results/<name>.json` and print it as the last thing on standard output."""
    arguments = " ".join(sys.argv[1:])
    document = {
        "name": name,
        "machine": machine(),
        "versions": {package: metadata.version(package) for package in packages},
        "figures": figures,
        "peers": peers,
        "command": f"make bench NAME={name}" + (f' ARGS="{arguments}"' if arguments else ""),
    }
    RESULTS.mkdir(exist_ok=True)
    text = json.dumps(document, indent=2, sort_keys=True)
    (RESULTS / f"{name}.json").write_text(text + "\n")
    print(text)


def program(name: str) -> str:
    """A program that may lie where only root looks.

    Raises:
        FileNotFoundError: It is not installed.
    """
    found = shutil.which(name, path=f"{os.environ['PATH']}{os.pathsep}/usr/sbin")
    if found is None:
        raise FileNotFoundError(f"{name} is not installed")
    return found


def progress(text: str) -> None:
    """Tell a person what happens, on standard error."""
    print(text, file=sys.stderr, flush=True)
