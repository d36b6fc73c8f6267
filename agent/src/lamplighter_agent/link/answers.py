"""HTTP answers to requests for ranges: pure."""

import http.client
import io
from collections.abc import Mapping
from datetime import datetime
from typing import Final

import msgspec

from lamplighter_agent.core.retry import class_of_status, read_retry_after
from lamplighter_protocol.errors import LamplighterError
from lamplighter_protocol.reported import Failure

PARTIAL: Final = 206
_MAX_LENGTH_DIGITS: Final = 12


class Answer(msgspec.Struct, frozen=True):
    """The head of an answer; names of headers are lower-case."""

    status: int
    headers: Mapping[str, str]

    @property
    def length_bytes(self) -> int:
        """How much follows.

        Raises:
            ValueError: It is not said.
        """
        said = self.headers.get("content-length", "")
        if not (said.isascii() and said.isdecimal() and len(said) <= _MAX_LENGTH_DIGITS):
            raise ValueError("the answer does not say how long it is")
        return int(said)


def read_head(raw: bytes) -> Answer:
    """Read a status line and headers, up to and with the empty line.

    Raises:
        ValueError: They are malformed.
    """
    line, _, rest = raw.partition(b"\r\n")
    version, _, status = line.partition(b" ")
    if version != b"HTTP/1.1" or not status[:3].isdigit():
        raise ValueError("the answer is not HTTP/1.1")
    try:
        headers = http.client.parse_headers(io.BytesIO(rest))
    except http.client.HTTPException as error:
        raise ValueError(f"the answer has malformed headers: {error!r}") from error
    return Answer(int(status[:3]), {name.lower(): value for name, value in headers.items()})


def check_range(answer: Answer, span: range, size_bytes: int, sha256: str) -> None:
    """Hold the head of an answer to what was asked for.

    Raises:
        ValueError: It announces something else.
    """
    wanted = (f"bytes {span.start}-{span.stop - 1}/{size_bytes}", f'"{sha256}"', len(span))
    headers = answer.headers
    found = (headers.get("content-range"), headers.get("etag"), answer.length_bytes)
    if answer.status != PARTIAL or found != wanted or "transfer-encoding" in headers:
        raise ValueError("the answer is not what was asked for")


def refusal(answer: Answer, body: bytes, now_utc: datetime) -> LamplighterError:
    """What an answer that is no success means, whatever it says of itself.

    Args:
        answer: The head.
        body: What followed.
        now_utc: What dates are compared with.
    """
    try:
        failure = msgspec.json.decode(body, type=Failure)
        reason = f"{failure.code}: {failure.sentence}"
    except (msgspec.MsgspecError, ValueError, RecursionError):
        reason = f"status {answer.status}"
    sentence = f"The server does not give the file: {reason[:300]}"
    kind = class_of_status(answer.status)
    if kind == "permanent":
        return LamplighterError("FETCH_REFUSED", sentence)
    wait_s = read_retry_after(answer.headers.get("retry-after"), now_utc)
    return LamplighterError(
        "FETCH_STALLED", sentence, retry_after_s=wait_s if kind == "later" else None
    )
