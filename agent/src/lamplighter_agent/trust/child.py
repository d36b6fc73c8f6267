"""The process that verifies: `python -m lamplighter_agent.trust.child STORE INBOX ROOT_FILE`.

It ends after one refresh, because python-tuf's imports would double what the supervisor needs.
On standard output it prints a TrustView, or a Failure, as JSON; the exit status is 0 or 1.
"""

import sys
from datetime import datetime, timezone
from pathlib import Path

import msgspec

from lamplighter_protocol.errors import LamplighterError
from lamplighter_protocol.reported import Failure


def main(store: str, inbox: str, root_file: str) -> int:
    """Refresh once and print the outcome.

    Args:
        store: The folder of what was verified before.
        inbox: The folder of what the broker delivered.
        root_file: The pinned root.
    """
    from lamplighter_agent.trust.device import refresh

    outcome: msgspec.Struct
    try:
        root, clock_utc = Path(root_file).read_bytes(), datetime.now(timezone.utc)
        outcome, status = refresh(Path(store), Path(inbox), root, clock_utc=clock_utc), 0
    except LamplighterError as error:
        outcome, status = Failure(code=error.code, sentence=error.sentence), 1
    sys.stdout.buffer.write(msgspec.json.encode(outcome))
    return status


if __name__ == "__main__":
    # securesystemslib loads what it finds of libraries for signing; here nothing is signed.
    sys.modules["pkcs11"] = None  # type: ignore[assignment]
    sys.exit(main(*sys.argv[1:]))
