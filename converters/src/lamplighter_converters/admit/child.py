"""The process that looks at a model file: it bounds itself first, and nobody minds if it dies.

Reads the file from standard input, writes a Verdict to standard output. What it may use stands in
its arguments: bytes of memory, seconds of CPU.
"""

import os
import resource
import sys
from typing import Literal

import msgspec

from lamplighter_converters.admit.signature import Signature
from lamplighter_protocol.errors import LamplighterError

Refusal = Literal[
    "MODEL_FILE_MALFORMED",
    "MODEL_FILE_UNSAFE",
    "MODEL_FILE_UNSUPPORTED",
    "MODEL_SIGNATURE_MISMATCH",
    "CONVERTER_MISSING",
]


class Verdict(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What became of it: the signature, or a code and a sentence."""

    signature: Signature | None = None
    code: Refusal | None = None
    sentence: str | None = None


def _bound(memory_bytes: int, cpu_s: int) -> None:
    for kind, limit in (
        (resource.RLIMIT_AS, memory_bytes),
        (resource.RLIMIT_CPU, cpu_s),
        (resource.RLIMIT_FSIZE, 0),
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_NOFILE, 64),
    ):
        resource.setrlimit(kind, (limit, limit))


def _look(raw: bytes) -> Verdict:
    # Libraries come after the bounds.
    from lamplighter_converters.admit.litert_file import describe_litert, is_litert
    from lamplighter_converters.admit.onnx_file import describe_onnx
    from lamplighter_converters.admit.probe import probe

    try:
        signature = describe_litert(raw) if is_litert(raw) else describe_onnx(raw)
        probe(raw, signature)
    except LamplighterError as error:
        return msgspec.convert({"code": error.code, "sentence": error.sentence}, Verdict)
    except MemoryError:
        return Verdict(code="MODEL_FILE_UNSAFE", sentence="It needs more memory than is allowed.")
    return Verdict(signature=signature)


def main() -> None:
    """Judge standard input."""
    _bound(int(sys.argv[1]), int(sys.argv[2]))
    # The runtimes write to file descriptor 1 what they like.
    answer = os.dup(1)
    os.dup2(2, 1)
    found = _look(sys.stdin.buffer.read())
    os.write(answer, msgspec.json.encode(found))


if __name__ == "__main__":
    main()
