"""What supervisor and worker say to each other: one JSON document per line.

The supervisor writes to the worker's standard input and reads its standard output; the worker's
standard error is its log. The worker starts as

    python -m lamplighter_agent.app.worker --manifest FILE --variant NAME --files DIRECTORY \
        [--accelerator NAME] --listen-fd N [--listen-fd N ...]

with listening sockets that the supervisor owns. It does not accept before it is told to serve.
A closed standard input means that the supervisor is gone: the worker stops.
"""

from typing import Final

import msgspec

from lamplighter_protocol.counts import Counts
from lamplighter_protocol.failure import Failure

BEAT_INTERVAL_S: Final = 0.5
MAX_LINE_BYTES: Final = 1024 * 1024


class SelfTest(msgspec.Struct, frozen=True, tag="self-test"):
    """Run the golden inputs; answered by SelfTested."""


class Serve(msgspec.Struct, frozen=True, tag="serve"):
    """Accept requests from now on; answered by Serving."""


class Drain(msgspec.Struct, frozen=True, tag="drain"):
    """Stop accepting; answer each open connection once more with `Connection: close`.

    Answered by Drained when the last connection is closed. The model stays warm: Serve may follow.
    """


class Collect(msgspec.Struct, frozen=True, tag="collect"):
    """Hand over the counts since the last Collect; answered by Counted with the same id."""

    id: int


class Shadow(msgspec.Struct, frozen=True, tag="shadow"):
    """Answer the copies of requests that come to a Unix socket at `path`; answered by Serving."""

    path: str


class Mirror(msgspec.Struct, frozen=True, tag="mirror"):
    """Send a copy of each answered request to the release in shadow at `path`; None ends it."""

    path: str | None


class Stop(msgspec.Struct, frozen=True, tag="stop"):
    """Exit as soon as open requests are answered."""


ToWorker = SelfTest | Serve | Drain | Collect | Shadow | Mirror | Stop


class Loaded(msgspec.Struct, frozen=True, tag="loaded"):
    """The model is in memory; or `failure` (MODEL_LOAD_FAILED) tells why not, and it exits.

    `lacking` (ACCELERATOR_MISSING) tells why the model runs on the CPU against a setting.
    """

    seconds: float
    failure: Failure | None = None
    lacking: Failure | None = None


class SelfTested(msgspec.Struct, frozen=True, tag="self-tested"):
    """The golden inputs ran; `failure` (GOLDEN_MISMATCH) tells what differed."""

    seconds: float
    failure: Failure | None = None


class Serving(msgspec.Struct, frozen=True, tag="serving"):
    """The worker accepts requests, or copies of them."""


class Drained(msgspec.Struct, frozen=True, tag="drained"):
    """No connection is open and none is accepted."""


class Counted(msgspec.Struct, frozen=True, tag="counted"):
    """The counts since the last Collect."""

    id: int
    counts: Counts


class Beat(msgspec.Struct, frozen=True, tag="beat"):
    """A sign of life, every BEAT_INTERVAL_S, from the loop that answers requests.

    The counts are totals since the worker's start, for health decisions.
    """

    requests: int
    predicted: list[int]
    """Rows by predicted label."""
    latency: list[int]
    """Requests by latency slot (lamplighter_protocol.counts.LATENCY_EDGES_S)."""
    errors: dict[str, int]
    """Failed requests by code; the client's own mistakes are not among them."""
    rss_mb: float
    compared: int = 0
    """Rows that the active release has answered too; the next two are as in Counts."""
    disagreed: int = 0
    missed: int = 0


FromWorker = Loaded | SelfTested | Serving | Drained | Counted | Beat
