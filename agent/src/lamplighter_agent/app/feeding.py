"""The process of all sources and sinks: `python -m lamplighter_agent.app.feeding STATUS-FILE`.

It reads the tables as one JSON document from its standard input, and writes what goes wrong to its
standard output, one reported.Failure per line. It ends with its parent.
"""

import logging
import signal
import sys
import threading
from pathlib import Path
from typing import IO

import msgspec

from lamplighter_agent.app.child import die_with_parent, take_standard_output
from lamplighter_agent.feed.model import ServedModel
from lamplighter_agent.feed.plan import Feed, Tables, build
from lamplighter_agent.feed.run import Runner
from lamplighter_protocol.errors import LamplighterError
from lamplighter_protocol.reported import Failure

_LOG = logging.getLogger(__name__)


class Feeding:
    """Runs every feed in a thread of its own.

    Args:
        status: The agent's status.json, which says where models answer.
        out: The pipe to the supervisor.
    """

    def __init__(self, status: Path, out: IO[bytes]) -> None:
        self._status = status
        self._out = out
        self._ended = threading.Event()

    def run(self) -> int:
        """Return only if the tables are wrong or a feed has broken: all then start anew."""
        try:
            feeds = build(msgspec.json.decode(sys.stdin.buffer.read(), type=Tables))
        except LamplighterError as error:
            self._tell(error)
            return 1
        for feed in feeds:
            threading.Thread(target=self._carry, args=(feed,), daemon=True).start()
        self._ended.wait()
        return 1

    def _carry(self, feed: Feed) -> None:
        try:
            Runner(feed, ServedModel(feed.model, self._status), self._tell).run()
        except Exception as error:  # noqa: BLE001 - a source or a sink of somebody else may raise anything
            _LOG.exception("%s has broken", feed.name)
            sentence = f"{feed.name} has broken: {type(error).__name__}: {error}."
            self._tell(LamplighterError("SOURCE_FAILED", sentence))
        finally:
            self._ended.set()

    def _tell(self, error: LamplighterError) -> None:
        failure = Failure(code=error.code, sentence=error.sentence)
        self._out.write(msgspec.json.encode(failure) + b"\n")
        self._out.flush()


def main() -> int:
    """Entry point of the process."""
    die_with_parent()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the supervisor decides when it ends
    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(name)s: %(message)s")
    return Feeding(Path(sys.argv[1]), take_standard_output()).run()


if __name__ == "__main__":
    sys.exit(main())
