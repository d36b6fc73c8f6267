"""The law of every decoder: a value or an expected error, in bounded time, and nothing else."""

import contextlib
import time
from pathlib import Path
from typing import Final

from tests.conformance.fuzz.decoders import DECODERS

from lamplighter_protocol.errors import LamplighterError

#: What once crashed: one folder for each decoder, one file for each crash.
CRASHERS: Final = Path(__file__).parents[2] / "corpus" / "fuzz"
#: Of processor time, for one message on a slow machine.
MAX_CALL_S: Final = 5.0


def check_law(name: str, raw: bytes) -> None:
    """Give a decoder hostile bytes."""
    decoder = DECODERS[name]
    began_s = time.process_time()
    with contextlib.suppress(LamplighterError, *decoder.expected):
        decoder.read(raw)
    assert time.process_time() - began_s < MAX_CALL_S, f"{name} takes too long"
