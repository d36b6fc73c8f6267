"""A worker without a runtime: it does what its model file says. For tests of the supervisor.

The model file is JSON: {"load": CODE, "self_test": CODE, "crash_on_serve": true, "latency_slot": 3,
"hang": true, ...}; everything is optional.
"""

import argparse
import asyncio
import json
import os
import signal
import socket
import sys
from pathlib import Path

import msgspec

from lamplighter_agent.ports import worker as port
from lamplighter_protocol.bundle import decode_manifest
from lamplighter_protocol.counts import LATENCY_SLOTS, Counts
from lamplighter_protocol.reported import Failure


def say(message: port.FromWorker) -> None:
    sys.stdout.buffer.write(msgspec.json.encode(message) + b"\n")
    sys.stdout.buffer.flush()


def failure(code: str | None) -> Failure | None:
    return Failure(code=code, sentence="As the test wants it.") if code else None


class Worker:
    def __init__(self, manifest: Path, files: Path, fds: list[int]) -> None:
        self.manifest = decode_manifest(manifest.read_bytes())
        self.plan = json.loads((files / "model.onnx").read_text())
        self.sockets = [socket.socket(fileno=fd) for fd in fds]
        self.servers: list[asyncio.Server] = []
        self.requests = 0
        self.window = Counts.zero(self.manifest)
        self.totals = Counts.zero(self.manifest)

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        body = str(self.manifest.release).encode()
        head = f"HTTP/1.1 200 OK\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n"
        writer.write(head.encode() + body)
        await writer.drain()
        writer.close()
        for counts in (self.window, self.totals):
            counts.rows += 1
            counts.latency[self.plan.get("latency_slot", 3)] += 1
            counts.predictions[self.plan.get("label", self.requests % 2)][0] += 1
        self.requests += 1

    async def serve(self) -> None:
        if self.plan.get("crash_on_serve"):
            os._exit(3)
        for sock in self.sockets:
            duplicate = sock.dup()
            duplicate.setblocking(False)
            make = (
                asyncio.start_unix_server if sock.family == socket.AF_UNIX else asyncio.start_server
            )
            self.servers.append(await make(self.answer, sock=duplicate))
        say(port.Serving())
        if self.plan.get("hang"):
            os.kill(os.getpid(), signal.SIGSTOP)

    def drain(self) -> None:
        for server in self.servers:
            server.close()
        self.servers.clear()
        say(port.Drained())

    async def take(self, line: bytes) -> bool:
        command = msgspec.json.decode(line, type=port.ToWorker)
        if isinstance(command, port.SelfTest):
            say(port.SelfTested(seconds=0.0, failure=failure(self.plan.get("self_test"))))
        elif isinstance(command, port.Serve):
            await self.serve()
        elif isinstance(command, port.Drain):
            self.drain()
        elif isinstance(command, port.Collect):
            say(port.Counted(id=command.id, counts=self.window))
            self.window = Counts.zero(self.manifest)
        elif isinstance(command, port.Shadow):
            say(port.Serving())
            if self.plan.get("crash_in_shadow"):
                os._exit(3)
        elif isinstance(command, port.Stop):
            await asyncio.sleep(self.plan.get("stop_s", 0.0))
            return False
        return True

    async def beat(self) -> None:
        while True:
            say(
                port.Beat(
                    requests=self.requests,
                    predicted=self.totals.predicted,
                    latency=self.totals.latency,
                    errors=self.plan.get("errors", {}),
                    rss_mb=self.plan.get("rss_mb", 10.0),
                    compared=self.plan.get("compared", 0),
                    disagreed=self.plan.get("disagreed", 0),
                )
            )
            await asyncio.sleep(0.05)

    async def run(self) -> None:
        code = self.plan.get("load")
        say(port.Loaded(seconds=0.0, failure=failure(code)))
        if code:
            return
        assert len(self.totals.latency) == LATENCY_SLOTS
        loop = asyncio.get_running_loop()
        lines = asyncio.StreamReader()
        await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(lines), sys.stdin)
        beating = loop.create_task(self.beat())
        while line := await lines.readline():
            if not await self.take(line):
                break
        beating.cancel()


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--manifest", type=Path)
    parser.add_argument("--variant")
    parser.add_argument("--files", type=Path)
    parser.add_argument("--accelerator")
    parser.add_argument("--listen-fd", type=int, action="append", default=[])
    chosen = parser.parse_args()
    asyncio.run(Worker(chosen.manifest, chosen.files, chosen.listen_fd).run())


if __name__ == "__main__":
    main()
