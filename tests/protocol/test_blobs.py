import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lamplighter_protocol.blobs import BlobRef, check_chunk, describe, split
from lamplighter_protocol.errors import LamplighterError
from lamplighter_protocol.names import CHUNK_SIZE_BYTES

sizes = st.sampled_from([0, 1, CHUNK_SIZE_BYTES - 1, CHUNK_SIZE_BYTES, CHUNK_SIZE_BYTES + 1])


@given(size=sizes, seed=st.integers(0, 255))
def test_chunks_join_to_the_file_and_all_are_accepted(size: int, seed: int) -> None:
    raw = bytes((seed + i) % 251 for i in range(size))
    blob = describe(raw)
    chunks = list(split(raw))
    assert b"".join(chunks) == raw
    assert len(chunks) == blob.chunk_count
    for number, chunk in enumerate(chunks):
        check_chunk(blob, number, chunk)


@given(number=st.integers(-1, 3), payload=st.binary(max_size=64))
def test_a_chunk_that_was_not_signed_is_refused(number: int, payload: bytes) -> None:
    blob = describe(b"x" * (CHUNK_SIZE_BYTES + 10))
    with pytest.raises(LamplighterError) as refused:
        check_chunk(blob, number, payload)
    assert refused.value.code == "CHUNK_REFUSED"
    assert refused.value.retryable


def test_a_reference_whose_chunks_do_not_fit_its_length_cannot_be_decoded() -> None:
    raw = msgspec.json.encode(describe(b"abc")).replace(b'"size_bytes":3', b'"size_bytes":70000')
    with pytest.raises(msgspec.ValidationError, match="do not make 1 chunks"):
        msgspec.json.decode(raw, type=BlobRef)
