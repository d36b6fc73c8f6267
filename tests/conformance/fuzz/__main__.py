"""Fuzz for as long as wanted: `python -m tests.conformance.fuzz --seconds 600 [--only NAME]`.

What breaks the law is stored under tests/corpus/fuzz/, where the tests find it ever after.
"""

import argparse
import logging
import random
import sys
import time
import traceback
import warnings

from tests.conformance.fuzz.decoders import DECODERS
from tests.conformance.fuzz.law import CRASHERS, check_law
from tests.conformance.fuzz.mutations import mutate

from lamplighter_protocol.canonical import sha256


def main() -> int:
    """Go through the decoders in turn; the exit status is 1 if one of them broke the law."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=60.0, help="how long")
    parser.add_argument("--only", choices=DECODERS, help="one decoder")
    parser.add_argument("--start", type=int, default=None, help="the first number, to repeat a run")
    arguments = parser.parse_args()
    logging.disable()
    warnings.simplefilter("ignore")
    names = [arguments.only] if arguments.only else list(DECODERS)
    number = start = random.randrange(2**48) if arguments.start is None else arguments.start
    found: set[tuple[str, str]] = set()
    end_mono = time.monotonic() + arguments.seconds
    while time.monotonic() < end_mono:
        for name in names:
            seeds = DECODERS[name].seeds
            raw = mutate(seeds[number % len(seeds)], number)
            try:
                check_law(name, raw)
            except Exception as error:  # noqa: BLE001 - this is what we look for
                place = traceback.extract_tb(error.__traceback__)[-1]
                kind = (name, f"{type(error).__name__} {place.filename}:{place.lineno}")
                if kind not in found:
                    found.add(kind)
                    _store(name, raw)
                    print(f"{name}: {kind[1]}: {str(error)[:200]}", flush=True)  # noqa: T201
        number += 1
    rounds = f"{number - start} inputs for each of {len(names)} decoders from {start}"
    print(f"{rounds}: {len(found)} crashes")  # noqa: T201
    return 1 if found else 0


def _store(name: str, raw: bytes) -> None:
    folder = CRASHERS / name
    folder.mkdir(parents=True, exist_ok=True)
    (folder / sha256(raw)[:16]).write_bytes(raw)


sys.exit(main())
