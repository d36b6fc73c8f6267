"""The story of `lamplighter demo --exit` with eight devices, and what an agent weighs.

There is no peer that tells this story; the budget is 90 s on two cores.
"""

import json
import subprocess
import sys
import time

import report


def main() -> None:
    """Run the demo once and take the figures from what it measured."""
    command = [sys.executable, "-m", "lamplighter_server.cli", "demo", "--exit", "--json"]
    started_mono = time.monotonic()
    done = subprocess.run([*command, *sys.argv[1:]], stdout=subprocess.PIPE, check=True)
    seconds = time.monotonic() - started_mono
    steps = json.loads(done.stdout)["steps"]
    last = steps[-1]["measured"]
    report.publish(
        "story",
        figures={
            "seconds": round(seconds, 1),
            "steps_verified": sum(step["verified"] for step in steps),
            "seconds_by_step": {step["name"]: round(step["seconds"], 1) for step in steps},
            "agent_supervisor_rss_mb": last["agent_supervisor_rss_mb"],
            "agent_worker_rss_mb": last["agent_worker_rss_mb"],
        },
        peers={},
        packages=("lamplighter-server", "lamplighter-agent", "onnxruntime"),
    )


if __name__ == "__main__":
    main()
