import base64

import pytest
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st

from lamplighter_protocol.enrolment import (
    Invitation,
    decode_invitation,
    encode_invitation,
    telemetry_key,
)
from lamplighter_protocol.errors import LamplighterError

INVITATION = Invitation(
    url="https://127.0.0.1:8443",
    device="pi-1",
    fleet="main",
    token="t" * 43,
    ca_sha256="a" * 64,
    root_sha256="b" * 64,
)


def test_an_invitation_is_one_word_and_round_trips() -> None:
    text = encode_invitation(INVITATION)
    assert text.split() == [text]
    assert decode_invitation(text) == INVITATION
    assert decode_invitation(f"  {text}\n") == INVITATION


@given(st.text(max_size=80))
def test_anything_else_is_refused_with_a_code(text: str) -> None:
    for attempt in (text, f"lamp1.{text}"):
        with pytest.raises(LamplighterError, match="INVITATION_INVALID"):
            decode_invitation(attempt)


def test_both_ends_agree_on_a_key_that_names_the_device() -> None:
    ours, theirs = X25519PrivateKey.generate(), X25519PrivateKey.generate()
    ours_public = ours.public_key().public_bytes_raw()
    theirs_public = theirs.public_key().public_bytes_raw()
    key = telemetry_key(ours, theirs_public, "pi-1")
    assert key == telemetry_key(theirs, ours_public, "pi-1")
    assert len(key) == 32
    assert key != telemetry_key(theirs, ours_public, "pi-2")


def test_deep_nesting_in_an_invitation_is_refused() -> None:
    packed = b"\x81\xa1x" + b"\x91" * 5000 + b"\xc0"
    with pytest.raises(LamplighterError, match="INVITATION_INVALID"):
        decode_invitation("lamp1." + base64.urlsafe_b64encode(packed).decode())
