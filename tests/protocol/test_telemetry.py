from datetime import datetime, timezone

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.protocol.conftest import make_manifest

from lamplighter_protocol.counts import Counts
from lamplighter_protocol.errors import LamplighterError
from lamplighter_protocol.names import MAX_TELEMETRY_BYTES
from lamplighter_protocol.telemetry import Ack, Window, seal, unseal

KEY = bytes(range(32))
WINDOW = Window(
    model="digits",
    release=1,
    variant="onnx-fp32",
    mode="active",
    start_utc=datetime(2026, 11, 23, tzinfo=timezone.utc),
    length_s=60,
    clock_synchronised=True,
    counts=Counts.zero(make_manifest()),
)


def sealed(sequence: int = 7) -> bytes:
    return seal(
        WINDOW,
        key=KEY,
        device="pi-1",
        stream="window",
        boot="b",
        sequence=sequence,
        oldest=3,
    )


def test_a_window_round_trips() -> None:
    envelope, window = unseal(sealed(), Window, key=KEY, device="pi-1", stream="window")
    assert window == WINDOW
    assert (envelope.boot, envelope.sequence, envelope.oldest) == ("b", 7, 3)


@given(position=st.integers(0, 10_000), flip=st.integers(1, 255))
def test_no_changed_byte_is_accepted(position: int, flip: int) -> None:
    raw = bytearray(sealed())
    raw[position % len(raw)] ^= flip
    with pytest.raises(LamplighterError) as refused:
        unseal(bytes(raw), Window, key=KEY, device="pi-1", stream="window")
    assert refused.value.code in {"MESSAGE_FORGED", "MESSAGE_MALFORMED"}


def test_a_message_of_another_device_stream_or_key_is_refused() -> None:
    for key, device, stream in (
        (bytes(32), "pi-1", "window"),
        (KEY, "pi-2", "window"),
        (KEY, "pi-1", "event"),
    ):
        with pytest.raises(LamplighterError, match="MESSAGE_FORGED"):
            unseal(sealed(), Window, key=key, device=device, stream=stream)  # type: ignore[arg-type]


@given(st.binary(max_size=100))
def test_hostile_bytes_are_refused_with_a_code(raw: bytes) -> None:
    with pytest.raises(LamplighterError):
        unseal(raw, Ack, key=KEY, device="pi-1", stream="ack")


def test_an_oversized_message_is_refused_unread() -> None:
    with pytest.raises(LamplighterError, match="MESSAGE_TOO_LARGE"):
        unseal(bytes(MAX_TELEMETRY_BYTES + 1), Ack, key=KEY, device="pi-1", stream="ack")


def test_thirty_columns_of_sixty_four_bins_stay_small() -> None:
    column = {f"column-{number:02}": [7] * 67 for number in range(30)}
    counts = msgspec.structs.replace(WINDOW.counts, columns=column)
    assert len(msgspec.msgpack.encode(counts)) < 30 * 100
