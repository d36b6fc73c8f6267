"""One worker process: its commands, its lines, its signs of life and its end."""

import asyncio
import contextlib
import itertools
import logging
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar, Final, TypeVar
from uuid import uuid4

import msgspec

from lamplighter_agent.app import family
from lamplighter_agent.app.limits import Limits
from lamplighter_agent.app.worker_log import READ_BYTES_PER_S, Pace, forward
from lamplighter_agent.ports import worker as port
from lamplighter_protocol.counts import Counts
from lamplighter_protocol.errors import LamplighterError

_LOG = logging.getLogger(__name__)
_DECODER: Final = msgspec.json.Decoder(port.FromWorker)
_Answer = TypeVar("_Answer", port.Loaded, port.SelfTested, port.Serving)

#: Why a worker is gone, whatever it was asked for.
LOSSES: Final = frozenset({"WORKER_CRASHED", "WORKER_HUNG", "WORKER_FORKED", "MEMORY_OVER_BUDGET"})
ANSWER_TIMEOUT_S: Final = 5.0
STOP_TIMEOUT_S: Final = 5.0
DRAIN_PIPES_TIMEOUT_S: Final = 1.0
#: How often it is looked what a worker takes.
GUARD_INTERVAL_S: Final = 1.0


class WorkerProcess:
    """A running worker. Made by `start`; every question fails once it is gone.

    Attributes:
        exited: Set when the process has ended and its last line is read.
        drained: Set when it has answered its last open connection after `drain`.
        beat: Its newest sign of life.
        heard_mono: When it said anything last, by the loop's clock.
    """

    _running: ClassVar[set[int]] = set()

    def __init__(
        self, process: asyncio.subprocess.Process, mark: str, hang_s: float, limits: Limits
    ) -> None:
        self._process = process
        self._running.add(process.pid)
        self._mark = mark
        self._hang_s = hang_s
        self._limits = limits
        self._broken: LamplighterError | None = None
        self._answers: dict[type[msgspec.Struct], asyncio.Future[Any]] = {}
        self._counted: dict[int, asyncio.Future[Counts]] = {}
        self._ids = itertools.count(1)
        self._loop = asyncio.get_running_loop()
        self.heard_mono = self._loop.time()
        self._serving = False
        self.exited = asyncio.Event()
        self.drained = asyncio.Event()
        self.beat: port.Beat | None = None
        self._loaded = self._expect(port.Loaded)
        self._guarding = self._loop.create_task(self._guard())
        self._reading = self._loop.create_task(self._read())
        assert process.stderr is not None  # noqa: S101 - started with a pipe
        self._logging = self._loop.create_task(forward(process.stderr, self.pid, _print))

    @classmethod
    async def start(
        cls, command: Sequence[str], listen_fds: Sequence[int], hang_s: float, limits: Limits
    ) -> "WorkerProcess":
        """Start a process. It gets its own session, so that Ctrl-C reaches the supervisor only.

        It ends with the supervisor at the latest: at the end of its standard input, and by
        family.die_with_parent if it does not read.

        Args:
            command: Program and options, without the sockets.
            listen_fds: Listening sockets that it inherits.
            hang_s: How long a serving worker may be silent before it is killed.
            limits: What it may take.
        """
        mark = uuid4().hex
        listen = [word for fd in listen_fds for word in ("--listen-fd", str(fd))]
        process = await asyncio.create_subprocess_exec(
            *command,
            *listen,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            pass_fds=tuple(listen_fds),
            limit=port.MAX_LINE_BYTES,
            start_new_session=True,
            env={**os.environ, family.MARK: mark},
        )
        limits.apply(process.pid)
        return cls(process, mark, hang_s, limits)

    @property
    def pid(self) -> int:
        """The process id."""
        return self._process.pid

    @property
    def loss(self) -> LamplighterError:
        """Why the worker is gone: one of LOSSES."""
        if self._broken is not None:
            return self._broken
        return LamplighterError(
            "WORKER_CRASHED", f"Worker {self.pid} ended with status {self._process.returncode}."
        )

    async def loaded(self, timeout_s: float) -> port.Loaded:
        """Wait until the model is in memory.

        Raises:
            LamplighterError: MODEL_LOAD_FAILED after the time-out, WORKER_CRASHED.
        """
        try:
            return await asyncio.wait_for(self._loaded, timeout_s)
        except asyncio.TimeoutError as error:
            raise LamplighterError(
                "MODEL_LOAD_FAILED", f"The model was not loaded after {timeout_s:.0f} s."
            ) from error

    async def self_test(self, timeout_s: float) -> port.SelfTested:
        """Run the golden inputs.

        Raises:
            LamplighterError: GOLDEN_MISMATCH after the time-out, WORKER_CRASHED.
        """
        try:
            return await self._ask(port.SelfTest(), port.SelfTested, timeout_s)
        except asyncio.TimeoutError as error:
            raise LamplighterError(
                "GOLDEN_MISMATCH", f"The golden inputs did not end in {timeout_s:.0f} s."
            ) from error

    async def serve(self) -> None:
        """Let it accept requests.

        Raises:
            LamplighterError: WORKER_HUNG, WORKER_CRASHED.
        """
        self.drained.clear()
        try:
            await self._ask(port.Serve(), port.Serving, ANSWER_TIMEOUT_S)
        except asyncio.TimeoutError as error:
            self._end(self._silence)
            raise self.loss from error
        self.heard_mono = self._loop.time()
        self._serving = True

    async def shadow(self, path: Path) -> None:
        """Let it answer copies of requests that come to a Unix socket.

        Raises:
            LamplighterError: WORKER_HUNG, WORKER_CRASHED.
        """
        try:
            await self._ask(port.Shadow(str(path)), port.Serving, ANSWER_TIMEOUT_S)
        except asyncio.TimeoutError as error:
            self._end(self._silence)
            raise self.loss from error
        self.heard_mono = self._loop.time()
        self._serving = True
        self.drained.set()  # it has no connection of a client

    def mirror(self, path: Path | None) -> None:
        """Let it copy what it answers to the release in shadow at `path`; None ends it."""
        self._send(port.Mirror(str(path) if path is not None else None))

    def drain(self) -> None:
        """Let it accept no more; `drained` is set when the last open request is answered."""
        self._serving = False
        if not self.exited.is_set():
            self.drained.clear()
        self._send(port.Drain())

    async def collect(self) -> Counts | None:
        """The counts since the last time; None if the worker cannot answer any more."""
        question = port.Collect(id=next(self._ids))
        answer: asyncio.Future[Counts] = self._loop.create_future()
        self._counted[question.id] = answer
        try:
            self._send(question)
            return await asyncio.wait_for(answer, ANSWER_TIMEOUT_S)
        except (asyncio.TimeoutError, LamplighterError) as error:
            _LOG.warning("the counts of worker %d are lost: %s", self.pid, error)
            return None
        finally:
            del self._counted[question.id]

    async def stop(self) -> None:
        """Let it exit when open requests are answered; kill it after STOP_TIMEOUT_S."""
        self._serving = False
        self._send(port.Stop())
        try:
            await asyncio.wait_for(self.exited.wait(), STOP_TIMEOUT_S)
        except asyncio.TimeoutError:
            self.kill()
            await self.exited.wait()

    def kill(self) -> None:
        """End it at once, with every process that it has started."""
        if self._process.returncode is None:  # its mark cannot be read before its exec is over
            self._process.kill()
        family.end(self.pid, self._mark, self._running)

    def _end(self, broken: LamplighterError) -> None:
        self._broken = self._broken or broken
        self.kill()

    @property
    def _silence(self) -> LamplighterError:
        return LamplighterError(
            "WORKER_HUNG", f"Worker {self.pid} gave no sign of life for {self._hang_s:.0f} s."
        )

    def _send(self, command: port.ToWorker) -> None:
        stdin = self._process.stdin
        if stdin is not None and not stdin.is_closing() and not self.exited.is_set():
            stdin.write(msgspec.json.encode(command) + b"\n")

    def _expect(self, kind: type[_Answer]) -> "asyncio.Future[_Answer]":
        answer: asyncio.Future[_Answer] = self._loop.create_future()
        self._answers[kind] = answer
        return answer

    async def _ask(self, command: port.ToWorker, kind: type[_Answer], timeout_s: float) -> _Answer:
        if self.exited.is_set():
            raise self.loss
        answer = self._expect(kind)
        self._send(command)
        return await asyncio.wait_for(answer, timeout_s)

    async def _read(self) -> None:
        out = self._process.stdout
        assert out is not None  # noqa: S101 - started with a pipe
        pace = Pace(READ_BYTES_PER_S)
        try:
            while line := await out.readline():
                self.heard_mono = self._loop.time()
                self._take(_DECODER.decode(line))
                await pace.spend(len(line))
        except (ValueError, msgspec.MsgspecError, RecursionError) as error:
            _LOG.error("worker %d speaks nonsense: %s", self.pid, error)
            self.kill()
        await self._process.wait()
        if self._process.stdin is not None:
            self._process.stdin.close()
        self._guarding.cancel()
        self._running.discard(self.pid)
        self.kill()  # what it has left behind
        await self._drain_pipes()
        self.exited.set()
        self.drained.set()
        waiting: list[asyncio.Future[Any]] = [*self._answers.values(), *self._counted.values()]
        for answer in waiting:
            if not answer.done():
                answer.set_exception(self.loss)
                answer.exception()  # whoever waited is told; nobody need wait

    async def _drain_pipes(self) -> None:
        """Read what is left in them, so that they are closed."""
        self._logging.cancel()
        streams = (self._process.stdout, self._process.stderr)
        with contextlib.suppress(asyncio.TimeoutError):  # somebody whom we do not know has them
            await asyncio.wait_for(
                asyncio.gather(*(_exhaust(stream) for stream in streams if stream is not None)),
                DRAIN_PIPES_TIMEOUT_S,
            )

    def _take(self, message: port.FromWorker) -> None:
        if isinstance(message, port.Beat):
            self.beat = message
        elif isinstance(message, port.Counted):
            counted = self._counted.get(message.id)
            if counted is not None and not counted.done():
                counted.set_result(message.counts)
        else:
            if isinstance(message, port.Drained):
                self.drained.set()
            answer = self._answers.pop(type(message), None)
            if answer is not None and not answer.done():
                answer.set_result(message)

    async def _guard(self) -> None:
        while True:
            await asyncio.sleep(min(self._hang_s / 4, GUARD_INTERVAL_S))
            family.reap(self._running)  # what has ended is not to be counted
            if self._process.returncode is not None:  # its children may keep our pipes open
                self.kill()
            elif self._serving and self._loop.time() - self.heard_mono > self._hang_s:
                self._end(self._silence)
            elif broken := self._limits.check(self.pid, self._mark):
                self._end(broken)


async def _exhaust(stream: asyncio.StreamReader) -> None:
    while await stream.read(port.MAX_LINE_BYTES):
        pass


def _print(raw: bytes) -> None:
    sys.stderr.buffer.write(raw)
    sys.stderr.flush()
