"""Judging a model file from outside, in a process of its own that may take only so much."""

import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Final

import msgspec

from lamplighter_converters.admit.child import Verdict
from lamplighter_converters.admit.signature import Signature, checked
from lamplighter_protocol.errors import LamplighterError

MAX_FILE_BYTES: Final = 512 * 2**20


class Bounds(msgspec.Struct, frozen=True, kw_only=True):
    """What looking at a file may take."""

    memory_bytes: int = 4 * 2**30
    """Of address space, beside six times the file."""
    cpu_s: int = 30
    wall_s: float = 90.0


def read_model_file(path: Path) -> bytes:
    """A file for `judge_file`, which refuses what is longer than is read here."""
    with path.open("rb") as file:
        return file.read(MAX_FILE_BYTES + 1)


def judge_file(raw: bytes, bounds: Bounds | None = None) -> Signature:
    """Describe a file, load it and let it answer once. ONNX or LiteRT is seen from its bytes.

    The process has no folder of its own to read from, writes no file, and inherits no setting.

    Raises:
        LamplighterError: MODEL_FILE_MALFORMED, MODEL_FILE_UNSAFE, MODEL_FILE_UNSUPPORTED or
            MODEL_SIGNATURE_MISMATCH, with what is wrong; CONVERTER_MISSING.
    """
    bounds = bounds or Bounds()
    if len(raw) > MAX_FILE_BYTES:
        raise LamplighterError("MODEL_FILE_UNSAFE", f"It has more than {MAX_FILE_BYTES} bytes.")
    memory = bounds.memory_bytes + 6 * len(raw)
    command = [sys.executable, "-m", "lamplighter_converters.admit.child", str(memory)]
    with tempfile.TemporaryDirectory() as folder:
        try:
            done = subprocess.run(
                [*command, str(bounds.cpu_s)],
                input=raw,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                cwd=folder,
                env={"ORT_DISABLE_TELEMETRY": "1", "PATH": os.defpath, "OPENBLAS_NUM_THREADS": "1"},
                timeout=bounds.wall_s,
                check=False,
            )
        except subprocess.TimeoutExpired as error:
            raise LamplighterError(
                "MODEL_FILE_UNSAFE", f"It keeps a process busy for over {bounds.wall_s:.0f} s."
            ) from error
    return _read(done.returncode, done.stdout)


def _read(status: int, answer: bytes) -> Signature:
    try:
        verdict = msgspec.json.decode(answer, type=Verdict)
    except msgspec.MsgspecError:
        verdict = Verdict()
    if verdict.signature is not None:
        return checked(verdict.signature)
    if verdict.code is not None and verdict.sentence is not None:
        raise LamplighterError(verdict.code, verdict.sentence)
    raise LamplighterError(
        "MODEL_FILE_UNSAFE",
        f"The process that looked at it died of it ({_reason(status)}).",
    )


def _reason(status: int) -> str:
    return f"signal {-status}" if status < 0 else f"exit status {status}"
