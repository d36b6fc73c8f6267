"""The real agent with short pauses: `python -m tests.faults.storage.agent DATA PORT`.

What is left out: TLS, and the probe of the runtimes, which touches no storage.
"""

import asyncio
import logging
import sys
from pathlib import Path

from lamplighter_agent.app.config import DataDir, Settings
from lamplighter_agent.app.supervisor import Supervisor
from lamplighter_agent.store.identity import load_identity

_PROBE = """print('{"onnxruntime": "1.0"}')"""


def main(path: str, port: str) -> None:
    data = DataDir(Path(path))
    settings = Settings(
        data=data,
        serve_port=int(port),
        probe_command=(sys.executable, "-S", "-E", "-c", _PROBE),
        vitals_interval_s=3600,
        min_free_disk_mb=0.0,
        min_free_memory_mb=0.0,
        stall_s=0.3,
        retry_first_s=0.05,
        retry_max_s=0.2,
        trust_grace_s=0.3,
        watch_interval_s=0.05,
        reconcile_interval_s=0.2,
    )
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    asyncio.run(Supervisor(load_identity(data.identity), settings, plain=True).run())


if __name__ == "__main__":
    main(*sys.argv[1:])
