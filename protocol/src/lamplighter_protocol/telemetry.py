"""Windows, vitals, events and their acknowledgement (design 3.3 and 3.5).

Each message is sealed: MessagePack with an HMAC-SHA-256 under the device's key, over the device,
the stream, the boot and a sequence number that never repeats for a stream of a device.
"""

import hashlib
import hmac
from typing import Annotated, Final, Literal, TypeVar

import msgspec

from lamplighter_protocol.assignment import Mode, Utc
from lamplighter_protocol.counts import Counts
from lamplighter_protocol.errors import LamplighterError
from lamplighter_protocol.names import MAX_TELEMETRY_BYTES, Count, Name, Release

Stream = Literal["window", "vitals", "event", "ack"]
T = TypeVar("T")


class Sealed(msgspec.Struct, array_like=True, frozen=True):
    """The wire form of every telemetry message."""

    version: Literal[1]
    boot: Annotated[str, msgspec.Meta(max_length=64)]
    sequence: Count
    oldest: Count
    """The lowest sequence that the sender still holds: what is below it will never come."""
    body: bytes
    mac: bytes


class Window(msgspec.Struct, frozen=True, kw_only=True):
    """An immutable increment: the counts of one model and release over one UTC interval."""

    model: Name
    release: Release
    variant: Name
    mode: Mode
    start_utc: Utc
    length_s: Annotated[int, msgspec.Meta(ge=1, le=86_400)]
    clock_synchronised: bool
    counts: Counts


class Vitals(msgspec.Struct, frozen=True, kw_only=True):
    """The state of the board."""

    at_utc: Utc
    cpu_percent: float
    memory_used_mb: float
    disk_free_mb: float
    temperature_c: float | None
    uptime_s: float
    supervisor_rss_mb: float
    worker_rss_mb: dict[str, float]
    """By model name; the worker that serves."""
    dropped: dict[str, Count]
    """Messages dropped from the bounded outbox, by stream, over the device's life."""
    throttling: tuple[str, ...] | None = None
    """Why the board runs slower now than it could; None where it cannot tell."""
    gpu_percent: float | None = None
    power_w: float | None = None
    """What the whole board takes."""


class Event(msgspec.Struct, frozen=True, kw_only=True):
    """Something that happened: an update phase, a rollback, an error with its code."""

    at_utc: Utc
    kind: Literal["phase", "refused", "worker", "started"]
    model: Name | None = None
    release: Release | None = None
    phase: str | None = None
    code: str | None = None
    sentence: str = ""


class Ack(msgspec.Struct, frozen=True, kw_only=True):
    """Per stream, the highest sequence up to which everything is stored durably."""

    stored: dict[str, Count]


def _mac(
    key: bytes, device: str, stream: Stream, place: tuple[str, int, int], body: bytes
) -> bytes:
    head = msgspec.msgpack.encode(("lamplighter/1", device, stream, *place))
    return hmac.digest(key, head + body, hashlib.sha256)


def seal(
    message: msgspec.Struct | msgspec.Raw,
    *,
    key: bytes,
    device: str,
    stream: Stream,
    boot: str,
    sequence: int,
    oldest: int,
) -> bytes:
    """Encode and authenticate one message; `Raw` is one that is encoded already."""
    body = msgspec.msgpack.encode(message)
    mac = _mac(key, device, stream, (boot, sequence, oldest), body)
    return msgspec.msgpack.encode(Sealed(1, boot, sequence, oldest, body, mac))


def unseal(
    raw: bytes, kind: type[T], *, key: bytes, device: str, stream: Stream
) -> tuple[Sealed, T]:
    """Check and decode one message.

    Raises:
        LamplighterError: MESSAGE_TOO_LARGE, MESSAGE_MALFORMED or MESSAGE_FORGED.
    """
    if len(raw) > MAX_TELEMETRY_BYTES:
        raise LamplighterError(
            "MESSAGE_TOO_LARGE",
            f"A {stream} message of {device} has {len(raw)} bytes, "
            f"the limit is {MAX_TELEMETRY_BYTES}.",
        )
    try:
        sealed = msgspec.msgpack.decode(raw, type=Sealed)
        place = (sealed.boot, sealed.sequence, sealed.oldest)
        if not hmac.compare_digest(_mac(key, device, stream, place, sealed.body), sealed.mac):
            raise LamplighterError(
                "MESSAGE_FORGED", f"A {stream} message of {device} fails authentication."
            )
        return sealed, msgspec.msgpack.decode(sealed.body, type=kind)
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        raise LamplighterError(
            "MESSAGE_MALFORMED", f"A {stream} message of {device} is malformed: {error}."
        ) from error


#: The retained will and birth message; plain, because a will cannot be signed when it is sent.
ONLINE: Final = b"online"
OFFLINE: Final = b"offline"
