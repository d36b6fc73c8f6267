"""The worker process: one loaded release, its server and its counts (see ports.worker)."""

import argparse
import asyncio
import logging
import os
import sys
import time
from collections.abc import Coroutine
from pathlib import Path
from typing import IO, Any

import msgspec
import numpy as np
import psutil

from lamplighter_agent.observe.counting import Counting
from lamplighter_agent.ports.session import Array, Session, Tensors
from lamplighter_agent.ports.worker import (
    BEAT_INTERVAL_S,
    MAX_LINE_BYTES,
    Beat,
    Collect,
    Counted,
    Drain,
    Drained,
    FromWorker,
    Loaded,
    SelfTest,
    SelfTested,
    Serve,
    Serving,
    Stop,
    ToWorker,
)
from lamplighter_agent.runtime.golden import read_golden, self_test
from lamplighter_agent.runtime.load import load
from lamplighter_agent.serve.api import Api
from lamplighter_agent.serve.server import Server
from lamplighter_protocol.bundle import Manifest, Variant, decode_manifest
from lamplighter_protocol.errors import LamplighterError
from lamplighter_protocol.reported import Failure

_LOG = logging.getLogger(__name__)


class Engine:
    """A loaded release that counts what it answers."""

    def __init__(self, manifest: Manifest, variant: Variant, session: Session) -> None:
        self.manifest = manifest
        self.variant = variant
        self.session = session
        self.counting = Counting(manifest)

    def infer(self, inputs: Tensors, started_mono: float) -> dict[str, Array]:
        """See ports.servable."""
        answer = self.manifest.answer
        try:
            outputs = self.session.run(inputs)
            probabilities = outputs[answer.probability_tensor]
            if not np.isfinite(probabilities).all():
                raise LamplighterError(
                    "INFERENCE_FAILED", "The model answers with NaN or infinity."
                )
        except LamplighterError as error:
            self.counting.failed(error.code)
            raise
        self.counting.answered(inputs, probabilities, time.perf_counter() - started_mono)
        return outputs


class Worker:
    """Carries out what the supervisor says."""

    def __init__(self, engine: Engine, server: Server, files: Path, out: IO[bytes]) -> None:
        self._engine = engine
        self._server = server
        self._files = files
        self._out = out
        self._process = psutil.Process()
        self._tasks: set[asyncio.Task[None]] = set()

    async def run(self, commands: asyncio.StreamReader) -> None:
        """Obey until told to stop or until the supervisor is gone."""
        beating = asyncio.create_task(self._beat())
        try:
            async for command in _read_commands(commands):
                if isinstance(command, Stop):
                    break
                self._obey(command)
        finally:
            beating.cancel()
        await self._server.drain()

    def _obey(self, command: ToWorker) -> None:
        if isinstance(command, SelfTest):
            say(self._out, self._self_test())
        elif isinstance(command, Collect):
            say(self._out, Counted(command.id, self._engine.counting.take()))
        elif isinstance(command, Serve):
            self._start(self._serve())
        elif isinstance(command, Drain):
            self._start(self._drain())

    def _start(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _serve(self) -> None:
        await self._server.serve()
        say(self._out, Serving())

    async def _drain(self) -> None:
        await self._server.drain()
        say(self._out, Drained())

    def _self_test(self) -> SelfTested:
        started_mono = time.perf_counter()
        engine, failure = self._engine, None
        try:
            golden = read_golden(self._files / engine.manifest.golden.file)
            self_test(engine.session, engine.manifest, engine.variant, golden)
        except LamplighterError as error:
            failure = Failure(code=error.code, sentence=error.sentence)
        return SelfTested(time.perf_counter() - started_mono, failure)

    async def _beat(self) -> None:
        while True:
            counts = self._engine.counting.total()
            say(
                self._out,
                Beat(
                    requests=counts.requests,
                    predicted=counts.predicted,
                    latency=counts.latency,
                    errors=counts.errors,
                    rss_mb=self._process.memory_info().rss / 2**20,
                ),
            )
            await asyncio.sleep(BEAT_INTERVAL_S)


async def _read_commands(reader: asyncio.StreamReader) -> Any:  # noqa: ANN401 - see below
    """Yield commands until the pipe closes; a line that is none is logged and passed over."""
    while True:
        try:
            line = await reader.readline()
        except ValueError:
            _LOG.warning("a command of more than %d bytes was ignored", MAX_LINE_BYTES)
            continue
        if not line:
            return
        try:
            yield msgspec.json.decode(line, type=ToWorker)
        except (msgspec.MsgspecError, ValueError):
            _LOG.warning("not a command: %.200r", line)


def say(out: IO[bytes], message: FromWorker) -> None:
    """Write one line to the supervisor."""
    out.write(msgspec.json.encode(message) + b"\n")
    out.flush()


def take_standard_output() -> IO[bytes]:
    """Keep the pipe to the supervisor for ourselves: whatever a runtime prints goes to the log."""
    out = os.fdopen(os.dup(sys.stdout.fileno()), "wb")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    return out


async def _main(arguments: argparse.Namespace, out: IO[bytes]) -> int:
    started_mono = time.perf_counter()
    try:
        manifest = decode_manifest(arguments.manifest.read_bytes())
        variant = manifest.variant(arguments.variant)
        session = load(variant.runtime, arguments.files / variant.file)
    except (LamplighterError, OSError) as error:
        code = error.code if isinstance(error, LamplighterError) else "MODEL_LOAD_FAILED"
        sentence = error.sentence if isinstance(error, LamplighterError) else str(error)
        failure = Failure(code=code, sentence=sentence)
        say(out, Loaded(time.perf_counter() - started_mono, failure))
        return 1
    engine = Engine(manifest, variant, session)
    server = Server(Api(engine), arguments.listen_fd)
    reader = asyncio.StreamReader(limit=MAX_LINE_BYTES)
    loop = asyncio.get_running_loop()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    say(out, Loaded(time.perf_counter() - started_mono))
    await Worker(engine, server, arguments.files, out).run(reader)
    return 0


def main() -> int:
    """Entry point of the process."""
    parser = argparse.ArgumentParser(prog="lamplighter-agent-worker")
    parser.add_argument("--manifest", type=Path, required=True)
    parser.add_argument("--variant", required=True)
    parser.add_argument("--files", type=Path, required=True)
    parser.add_argument("--listen-fd", type=int, action="append", default=[])
    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(message)s", stream=sys.stderr)
    try:
        return asyncio.run(_main(parser.parse_args(), take_standard_output()))
    except (KeyboardInterrupt, BrokenPipeError):
        return 0


if __name__ == "__main__":
    sys.exit(main())
