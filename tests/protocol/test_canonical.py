import json
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lamplighter_protocol.canonical import decode, encode
from lamplighter_protocol.errors import LamplighterError

values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53) + 1, 2**53 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


@given(st.dictionaries(st.text(), values, max_size=4))
def test_canonical_bytes_are_a_fixed_point(value: dict[str, Any]) -> None:
    raw = encode(value)
    assert decode(raw, dict[str, Any], what="It", max_bytes=len(raw)) == json.loads(raw)


@given(st.binary(max_size=200))
def test_hostile_bytes_are_refused_with_a_code(raw: bytes) -> None:
    with suppress(LamplighterError):  # and no other kind of exception
        assert encode(decode(raw, dict[str, Any], what="It", max_bytes=100)) == raw


@pytest.mark.parametrize("raw", [b'{"a": 1}', b'{"b":1,"a":2}', b'{"a":1.0}', b"[" * 20_000])
def test_json_that_is_not_canonical_is_refused(raw: bytes) -> None:
    with pytest.raises(LamplighterError) as refused:
        decode(raw, dict[str, Any], what="It", max_bytes=100_000)
    assert refused.value.code == "MESSAGE_MALFORMED"
