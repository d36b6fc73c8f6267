"""The worker process: one loaded release, its server and its counts (see ports.worker)."""

import argparse
import asyncio
import logging
import select
import socket
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import IO, Final

import msgspec

from lamplighter_agent.app.child import die_with_parent, take_standard_output
from lamplighter_agent.app.comparing import Comparing
from lamplighter_agent.app.engine import Engine
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
    Mirror,
    SelfTest,
    SelfTested,
    Serve,
    Serving,
    Shadow,
    Stop,
    ToWorker,
)
from lamplighter_agent.runtime.accelerators import ACCELERATORS
from lamplighter_agent.runtime.golden import read_golden, self_test
from lamplighter_agent.runtime.load import load
from lamplighter_agent.serve.api import Api
from lamplighter_agent.serve.mirroring import Mirroring
from lamplighter_agent.serve.server import Server
from lamplighter_agent.serve.shadow import ShadowServer
from lamplighter_protocol.bundle import decode_manifest
from lamplighter_protocol.errors import LamplighterError
from lamplighter_protocol.failure import Failure

#: As DRAIN_GRACE_S, for a worker that is told to exit: a Stop may follow a Drain at once. The
#: supervisor kills after 5 s.
STOP_GRACE_S: Final = 3.0
_COMMANDS: Final = msgspec.json.Decoder(ToWorker)

_LOG = logging.getLogger(__name__)


class Worker:
    """Carries out what the supervisor says, one command after the other.

    Only draining takes its time beside them; Serve and Stop break it off.
    """

    def __init__(self, engine: Engine, server: Server, files: Path, out: IO[bytes]) -> None:
        self._engine = engine
        self._server = server
        self._files = files
        self._out = out
        self._draining: asyncio.Task[None] | None = None
        self._shadow: ShadowServer | None = None

    async def run(self, commands: asyncio.StreamReader) -> None:
        """Obey until told to stop or until the supervisor is gone."""
        stopped = False
        beating = asyncio.create_task(self._beat())
        try:
            async for command in _read_commands(commands):
                if stopped := isinstance(command, Stop):
                    break
                await self._obey(command)
        finally:
            beating.cancel()
        self._break_off_draining()
        self._mirror(None)
        if self._shadow is not None:
            self._shadow.close()
        if stopped:
            await self._server.drain(STOP_GRACE_S)
        else:  # an orphan would keep the listening sockets from the next supervisor
            await self._server.close()

    async def _obey(self, command: ToWorker) -> None:
        if isinstance(command, SelfTest):
            say(self._out, self._self_test())
        elif isinstance(command, Collect):
            say(self._out, Counted(command.id, self._engine.counting.take()))
        elif isinstance(command, Serve):
            self._break_off_draining()
            await self._server.serve()
            say(self._out, Serving())
        elif isinstance(command, Drain):
            self._break_off_draining()
            self._draining = asyncio.create_task(self._drain())
        elif isinstance(command, Shadow):
            comparing = Comparing(self._engine, self._engine.counting)
            self._shadow = ShadowServer(Path(command.path), comparing.take)
            await self._shadow.serve()
            say(self._out, Serving())
        elif isinstance(command, Mirror):
            self._mirror(command.path)

    def _mirror(self, path: str | None) -> None:
        engine = self._engine
        if engine.mirror is not None:
            engine.mirror.close()
        labels = engine.manifest.answer.labels
        engine.mirror = Mirroring(Path(path), labels) if path is not None else None

    def _break_off_draining(self) -> None:
        if self._draining is not None:
            self._draining.cancel()

    async def _drain(self) -> None:
        await self._server.drain()
        say(self._out, Drained())

    def _self_test(self) -> SelfTested:
        started_mono = time.perf_counter()
        engine, failure = self._engine, None
        try:
            golden = read_golden(self._files / engine.manifest.golden.file)
            self_test(engine, engine.manifest, engine.variant, golden)
        except LamplighterError as error:
            failure = Failure(code=error.code, sentence=error.sentence)
        return SelfTested(time.perf_counter() - started_mono, failure)

    async def _beat(self) -> None:
        while True:
            # A supervisor that does not read must not stop the answers: a full pipe gets no beat.
            if select.select([], [self._out], [], 0)[1]:
                say(self._out, self._sign_of_life())
            await asyncio.sleep(BEAT_INTERVAL_S)

    def _sign_of_life(self) -> Beat:
        totals = self._engine.totals()
        return Beat(
            requests=totals.requests,
            predicted=totals.predicted,
            latency=totals.latency,
            errors=totals.errors,
            rss_mb=totals.rss_bytes / 2**20,
            compared=totals.compared,
            disagreed=totals.disagreed,
            missed=totals.missed,
        )


async def _read_commands(reader: asyncio.StreamReader) -> AsyncIterator[ToWorker]:
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
            command = _COMMANDS.decode(line)
        except (msgspec.MsgspecError, ValueError, RecursionError):
            _LOG.warning("not a command: %.200r", line)
            continue
        yield command


def say(out: IO[bytes], message: FromWorker) -> None:
    """Write one line to the supervisor."""
    out.write(msgspec.json.encode(message) + b"\n")
    out.flush()


async def _main(arguments: argparse.Namespace, out: IO[bytes]) -> int:
    started_mono = time.perf_counter()
    try:
        manifest = decode_manifest(arguments.manifest.read_bytes())
        variant = manifest.variant(arguments.variant)
        model = arguments.files / variant.file
        session = load(variant.runtime, model, arguments.accelerator)
    except (LamplighterError, OSError) as error:
        code = error.code if isinstance(error, LamplighterError) else "MODEL_LOAD_FAILED"
        sentence = error.sentence if isinstance(error, LamplighterError) else str(error)
        failure = Failure(code=code, sentence=sentence)
        say(out, Loaded(time.perf_counter() - started_mono, failure))
        return 1
    engine = Engine(manifest, variant, session)
    listening = [socket.socket(fileno=descriptor) for descriptor in arguments.listen_fd]
    server = Server(Api(engine), listening)
    reader = asyncio.StreamReader(limit=MAX_LINE_BYTES)
    loop = asyncio.get_running_loop()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    lacking = None
    if session.missing:
        sentence = f"{manifest.model} runs on the CPU: {session.missing}."
        lacking = Failure(code="ACCELERATOR_MISSING", sentence=sentence)
    say(out, Loaded(time.perf_counter() - started_mono, lacking=lacking))
    await Worker(engine, server, arguments.files, out).run(reader)
    return 0


def main() -> int:
    """Entry point of the process."""
    parser = argparse.ArgumentParser(prog="lamplighter-agent-worker")
    parser.add_argument("--manifest", type=Path, required=True)
    parser.add_argument("--variant", required=True)
    parser.add_argument("--files", type=Path, required=True)
    parser.add_argument("--accelerator", choices=ACCELERATORS, default="cpu")
    parser.add_argument("--listen-fd", type=int, action="append", default=[])
    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(message)s", stream=sys.stderr)
    arguments = parser.parse_args()
    die_with_parent()
    try:
        return asyncio.run(_main(arguments, take_standard_output()))
    except (KeyboardInterrupt, BrokenPipeError):
        return 0
