"""The process of all sources and sinks: `python -m lamplighter_agent.app.feeding STATUS-FILE`.

It reads the tables as one JSON document from its standard input, and writes what goes wrong to its
standard output, one reported.Failure per line. It ends with its parent.
"""

import logging
import sys
import threading
from pathlib import Path

import msgspec

from lamplighter_agent.app.family import die_with_parent
from lamplighter_agent.feed.model import ServedModel
from lamplighter_agent.feed.plan import Tables, build
from lamplighter_agent.feed.run import Runner
from lamplighter_protocol.errors import LamplighterError
from lamplighter_protocol.reported import Failure


def main() -> int:
    """Run every feed; returns only if the tables are wrong."""
    die_with_parent()
    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(name)s: %(message)s")
    try:
        feeds = build(msgspec.json.decode(sys.stdin.buffer.read(), type=Tables))
    except LamplighterError as error:
        _tell(error)
        return 1
    status = Path(sys.argv[1])
    threads = [
        threading.Thread(target=Runner(feed, ServedModel(feed.model, status), _tell).run)
        for feed in feeds
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return 0


def _tell(error: LamplighterError) -> None:
    failure = Failure(code=error.code, sentence=error.sentence)
    sys.stdout.write(msgspec.json.encode(failure).decode() + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
