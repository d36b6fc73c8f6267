from datetime import datetime, timezone
from typing import Any

import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st

from lamplighter_protocol.assignment import ENCRYPTED, AssignedModel, Transfer
from lamplighter_protocol.blobs import BlobRef, describe, split
from lamplighter_protocol.canonical import decode, encode, sha256
from lamplighter_protocol.errors import LamplighterError
from lamplighter_protocol.names import CHUNK_SIZE_BYTES
from lamplighter_protocol.sealed import (
    TAG_BYTES,
    ChunkCipher,
    Recipient,
    new_release_key,
    sealed_size_bytes,
    unwrap_key,
    wrap_key,
)

KEY = bytes(range(32))
DEVICE = X25519PrivateKey.from_private_bytes(b"\x11" * 32)
PUBLIC = DEVICE.public_key().public_bytes_raw()
TO = Recipient(fleet="main", device="pi-1", model="digits", release=3, manifest_sha256="a" * 64)
contents = st.one_of(
    st.binary(max_size=200),
    st.integers(1, 2 * CHUNK_SIZE_BYTES + 9).map(lambda size: b"lamp" * (size // 4) + b"x"),
)


def cipher_of(blob: BlobRef, key: bytes = KEY) -> ChunkCipher:
    return ChunkCipher(key, blob.sha256, blob.size_bytes)


def seal_all(raw: bytes, key: bytes = KEY) -> tuple[BlobRef, list[bytes]]:
    blob = describe(raw)
    cipher = cipher_of(blob, key)
    return blob, [cipher.seal(number, chunk) for number, chunk in enumerate(split(raw))]


@given(contents)
def test_what_was_sealed_opens_in_any_order_and_has_the_said_length(raw: bytes) -> None:
    blob, chunks = seal_all(raw)
    cipher = cipher_of(blob)
    opened = {n: cipher.open(n, chunks[n]) for n in reversed(range(len(chunks)))}
    assert b"".join(opened[n] for n in sorted(opened)) == raw
    assert sum(map(len, chunks)) == sealed_size_bytes(blob.size_bytes)
    assert seal_all(raw)[1] == chunks  # again the same bytes: the wire digest is a name


@given(raw=st.binary(min_size=1, max_size=200), position=st.integers(0), flip=st.integers(1, 255))
def test_no_changed_byte_is_opened(raw: bytes, position: int, flip: int) -> None:
    blob, chunks = seal_all(raw)
    spoilt = bytearray(chunks[0])
    spoilt[position % len(spoilt)] ^= flip
    with pytest.raises(LamplighterError, match="CHUNK_REFUSED"):
        cipher_of(blob).open(0, bytes(spoilt))


@given(raw=st.binary(min_size=1, max_size=200), length=st.integers(0, 300))
def test_no_other_length_is_opened(raw: bytes, length: int) -> None:
    blob, chunks = seal_all(raw)
    cut = (chunks[0] + bytes(300))[:length]
    if cut != chunks[0]:
        with pytest.raises(LamplighterError, match="CHUNK_REFUSED"):
            cipher_of(blob).open(0, cut)


def test_a_chunk_opens_in_its_own_place_only() -> None:
    raw = bytes(3 * CHUNK_SIZE_BYTES)  # equal chunks: only their places differ
    blob, chunks = seal_all(raw)
    assert len(set(chunks)) == 3
    cipher = cipher_of(blob)
    for number in (-1, 0, 1, 2, 3, 2**63):
        for other in {0, 1, 2} - {number}:
            with pytest.raises(LamplighterError, match="CHUNK_REFUSED"):
                cipher.open(number, chunks[other])


def test_a_chunk_of_a_shortened_blob_another_blob_or_another_key_is_refused() -> None:
    raw = bytes(2 * CHUNK_SIZE_BYTES)
    blob, chunks = seal_all(raw)
    shorter = msgspec.structs.replace(
        blob, size_bytes=CHUNK_SIZE_BYTES, chunk_sha256=blob.chunk_sha256[:1]
    )
    for cipher in (
        cipher_of(shorter),  # there chunk 0 is the last one
        cipher_of(msgspec.structs.replace(blob, sha256="b" * 64)),
        cipher_of(blob, new_release_key()),
    ):
        with pytest.raises(LamplighterError, match="CHUNK_REFUSED"):
            cipher.open(0, chunks[0])


def test_a_key_comes_out_for_the_one_it_was_wrapped_for_and_never_wrapped_twice_alike() -> None:
    one, other = wrap_key(KEY, PUBLIC, TO), wrap_key(KEY, PUBLIC, TO)
    assert one != other
    assert unwrap_key(one, DEVICE, TO) == unwrap_key(other, DEVICE, TO) == KEY
    assert KEY not in one


@pytest.mark.parametrize(
    "change",
    [
        {"fleet": "other"},
        {"device": "pi-2"},
        {"model": "letters"},
        {"release": 4},
        {"manifest_sha256": "b" * 64},
    ],
)
def test_a_wrapped_key_is_bound_to_its_place(change: dict[str, Any]) -> None:
    wrapped = wrap_key(KEY, PUBLIC, TO)
    with pytest.raises(LamplighterError, match="KEY_REFUSED"):
        unwrap_key(wrapped, DEVICE, msgspec.structs.replace(TO, **change))


def test_another_device_cannot_unwrap() -> None:
    with pytest.raises(LamplighterError, match="KEY_REFUSED"):
        unwrap_key(wrap_key(KEY, PUBLIC, TO), X25519PrivateKey.generate(), TO)


@given(position=st.integers(0, 79), flip=st.integers(1, 255))
def test_no_changed_byte_of_a_wrapped_key_is_unwrapped(position: int, flip: int) -> None:
    spoilt = bytearray(wrap_key(KEY, PUBLIC, TO))
    spoilt[position] ^= flip
    with pytest.raises(LamplighterError, match="KEY_REFUSED"):
        unwrap_key(bytes(spoilt), DEVICE, TO)


@given(st.binary(max_size=200))
def test_hostile_bytes_are_refused_with_a_code(raw: bytes) -> None:
    with pytest.raises(LamplighterError, match="KEY_REFUSED"):
        unwrap_key(raw, DEVICE, TO)
    with pytest.raises(LamplighterError, match="CHUNK_REFUSED"):
        cipher_of(describe(b"x")).open(0, raw)


@pytest.mark.parametrize("public", [b"", b"short", bytes(32), b"\xff" * 33])
def test_a_key_is_not_wrapped_for_a_point_that_everybody_knows(public: bytes) -> None:
    with pytest.raises(LamplighterError, match="KEY_REFUSED"):
        wrap_key(KEY, public, TO)


class EarlierModel(msgspec.Struct, frozen=True, kw_only=True):
    """What an agent reads that knows of no transfers."""

    model: str
    release: int
    manifest: BlobRef
    variant: str


def test_an_agent_from_before_reads_an_assignment_with_transfers_and_the_other_way_round() -> None:
    now = datetime(2026, 5, 1, tzinfo=timezone.utc)
    transfer = Transfer(kind=ENCRYPTED, sha256="a" * 64, wire_sha256="b" * 64, wire_size_bytes=20)
    assigned = AssignedModel(
        model="digits",
        release=3,
        manifest=describe(b"{}"),
        variant="onnx-fp32",
        not_before_utc=now,
        deadline_utc=now,
        transfers=(transfer,),
        wrapped_key=wrap_key(KEY, PUBLIC, TO),
    )
    raw = encode(assigned)
    assert decode(raw, AssignedModel, what="It", max_bytes=9_999) == assigned
    assert decode(raw, EarlierModel, what="It", max_bytes=9_999).release == 3
    fields = msgspec.to_builtins(assigned)
    del fields["transfers"], fields["wrapped_key"]
    earlier = decode(encode(fields), AssignedModel, what="It", max_bytes=9_999)
    assert (earlier.transfers, earlier.wrapped_key) == ((), None)


def test_the_bytes_are_those_of_every_version() -> None:
    _, chunks = seal_all(bytes(CHUNK_SIZE_BYTES) + b"end")
    assert [len(chunk) for chunk in chunks] == [CHUNK_SIZE_BYTES + TAG_BYTES, 3 + TAG_BYTES]
    assert sha256(b"".join(chunks)) == WIRE_SHA256
    assert chunks[1].hex() == LAST_CHUNK
    assert unwrap_key(bytes.fromhex(WRAPPED), DEVICE, TO) == KEY


WIRE_SHA256 = "7f3e717b9c40f0ab83b2feeb3223a071edb7a5374b54290918a014434a1d79e7"
LAST_CHUNK = "e688b43248db4601d32b2acc61a316422cea23"
WRAPPED = (
    "1581e61e64aae06317060f3fcf846d1a4449ca845ede09be917cc63e6e2f4a19ee5ba854bcfb2cd2"
    "8ffd04d1419c50f5046af3aa57c07c2fd0f7071510ba9d3019f0a9a1a943a5b3a770e935bd6bd47e"
)
