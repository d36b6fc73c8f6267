"""`python -m tests.conformance.clients PYTHON`: serve a release to the client of another Python."""

import asyncio
import socket
import sys
import tempfile
from pathlib import Path

from tests.agent_worker.conftest import ready_worker, start_worker
from tests.agent_worker.small_release import digits, pack, train

from lamplighter_agent.ports.worker import Serve, Serving


async def main(python: str) -> int:
    """Start a worker, run the calls, give their exit status."""
    images, labels = digits()
    bundle = pack(train(images, labels), images)
    with tempfile.TemporaryDirectory() as name, socket.create_server(("127.0.0.1", 0)) as listening:
        files = Path(name)
        for file, raw in {**bundle.files, "bundle.json": bundle.manifest_raw}.items():
            (files / file).write_bytes(raw)
        async with start_worker(files, listening) as worker:
            await ready_worker(worker)
            worker.tell(Serve())
            await worker.hear(Serving)
            calls = str(Path(__file__).with_name("triton_calls.py"))
            address = f"127.0.0.1:{listening.getsockname()[1]}"
            return await (await asyncio.create_subprocess_exec(python, calls, address)).wait()


if __name__ == "__main__":
    sys.exit(asyncio.run(main(sys.argv[1])))
