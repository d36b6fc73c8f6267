"""Whether and when a step that failed is tried again: pure."""

from dataclasses import dataclass
from datetime import datetime, timezone
from typing import Final, Literal

from lamplighter_protocol.errors import LamplighterError

RetryClass = Literal[
    "transient",  # may be over in a moment: back off, with full jitter
    "later",  # whoever refused has said when to come back
    "permanent",  # the same step ends in the same way: not again
]

#: By status of an HTTP answer; any other from 500 on is transient, and any other permanent.
CLASSES: Final[dict[int, RetryClass]] = {
    408: "transient",
    425: "transient",
    429: "later",
    503: "later",
}
#: However long somebody asks for: a clock may be set right meanwhile, or a limit raised.
LATER_MAX_S: Final = 3600.0
_MOST_DOUBLINGS: Final = 64
_DATE: Final = "%a, %d %b %Y %H:%M:%S GMT"


@dataclass(frozen=True)
class Backoff:
    """How pauses grow.

    Attributes:
        first_s: The ceiling of the first pause; each further failure doubles it.
        max_s: The highest ceiling.
    """

    first_s: float
    max_s: float


def class_of_status(status: int) -> RetryClass:
    """What an HTTP answer that is no success means for the next attempt."""
    return CLASSES.get(status, "transient" if status >= 500 else "permanent")


def class_of(error: LamplighterError) -> RetryClass:
    """What an error means for the next attempt."""
    if not error.retryable:
        return "permanent"
    return "transient" if error.retry_after_s is None else "later"


def pause_s(
    failures: int, backoff: Backoff, draw: float, retry_after_s: float | None = None
) -> float:
    """How long to wait before the next attempt.

    Full jitter: anything between nothing and the ceiling, so that devices that failed together do
    not come back together (M. Brooker, "Exponential Backoff And Jitter", 2015).

    Args:
        failures: How many attempts failed in a row before this one, from 0.
        backoff: How pauses grow.
        draw: Uniformly random, 0 <= draw < 1.
        retry_after_s: What must pass in any case; at most LATER_MAX_S of it is waited for.
    """
    ceiling_s = min(backoff.max_s, backoff.first_s * 2.0 ** min(failures, _MOST_DOUBLINGS))
    return min(retry_after_s or 0.0, LATER_MAX_S) + draw * ceiling_s


def read_retry_after(header: str | None, now_utc: datetime) -> float | None:
    """The seconds that a Retry-After header asks for (RFC 9110, 10.2.3); None without a valid one.

    Args:
        header: Seconds, or an HTTP date.
        now_utc: What a date is compared with.
    """
    if header is None:
        return None
    if header.isascii() and header.isdecimal() and len(header) <= 9:
        return float(header)
    try:
        until_utc = datetime.strptime(header, _DATE).replace(tzinfo=timezone.utc)
    except ValueError:
        return None
    return max(0.0, (until_utc - now_utc).total_seconds())
