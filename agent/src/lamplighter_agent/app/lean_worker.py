"""Starts a worker without OpenSSL: `python -m lamplighter_agent.app.lean_worker`.

A worker speaks to nobody over TLS, and asyncio and hashlib do without the library; it would be 5 MB
of every worker.
"""

import sys
from typing import Final

_UNUSED: Final = ("ssl", "_hashlib")


def main() -> int:
    """Entry point of the process."""
    for name in _UNUSED:
        sys.modules[name] = None  # type: ignore[assignment] # importing it is an ImportError now
    from lamplighter_agent.app.worker import main as work

    return work()


if __name__ == "__main__":
    sys.exit(main())
