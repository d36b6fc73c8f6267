"""The process that verifies: `python -m lamplighter_agent.trust.child --store --inbox --root`.

It ends after one refresh, because python-tuf's imports would double what the supervisor needs.
On standard output it prints a TrustView, or a Failure, as JSON; the exit status is 0 or 1.
"""

import argparse
import sys
from collections.abc import Sequence
from datetime import datetime, timezone
from pathlib import Path

import msgspec

from lamplighter_agent.trust.device import refresh
from lamplighter_protocol.errors import LamplighterError
from lamplighter_protocol.reported import Failure


def main(arguments: Sequence[str] | None = None) -> int:
    """Refresh once and print the outcome."""
    parser = argparse.ArgumentParser(prog="lamplighter-agent-trust")
    parser.add_argument("--store", type=Path, required=True, help="what was verified before")
    parser.add_argument("--inbox", type=Path, required=True, help="what the broker delivered")
    parser.add_argument("--root", type=Path, required=True, help="the pinned root")
    chosen = parser.parse_args(arguments)
    outcome: msgspec.Struct
    try:
        outcome = refresh(
            chosen.store,
            chosen.inbox,
            chosen.root.read_bytes(),
            clock_utc=datetime.now(timezone.utc),
        )
        status = 0
    except LamplighterError as error:
        outcome, status = Failure(code=error.code, sentence=error.sentence), 1
    sys.stdout.buffer.write(msgspec.json.encode(outcome))
    return status


if __name__ == "__main__":
    sys.exit(main())
