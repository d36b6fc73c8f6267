from datetime import datetime, timedelta, timezone

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from hypothesis import given
from hypothesis import strategies as st

from lamplighter_protocol import dsse
from lamplighter_protocol.canonical import encode
from lamplighter_protocol.errors import LamplighterError
from lamplighter_protocol.names import NAME_PATTERN
from lamplighter_protocol.renewal import (
    MAX_REQUEST_BYTES,
    PAYLOAD_TYPE,
    RenewalRequest,
    Validity,
    accept_renewal,
    claimed_device,
    sign_renewal,
)

KEYS: list[dsse.PrivateKey] = [
    ec.generate_private_key(ec.SECP256R1()),
    ec.generate_private_key(ec.SECP256R1()),
    ed25519.Ed25519PrivateKey.generate(),
]
NAMES = st.from_regex(NAME_PATTERN, fullmatch=True)
INDEX = st.integers(0, len(KEYS) - 1)
START = datetime(2026, 1, 1, tzinfo=timezone.utc)


def signed(device: str = "pi-1", fleet: str = "main", key: int = 0) -> bytes:
    request = RenewalRequest(device=device, fleet=fleet)
    return sign_renewal(request, dsse.SoftwareSigner(KEYS[key]))


def verdict(raw: bytes, device: str = "pi-1", fleet: str = "main", key: int = 0) -> str:
    try:
        accept_renewal(raw, device=device, fleet=fleet, key=KEYS[key].public_key())
    except LamplighterError as error:
        return error.code
    return "accepted"


@given(said=st.tuples(NAMES, NAMES, INDEX), known=st.tuples(NAMES, NAMES, INDEX))
def test_only_the_holder_of_the_key_renews_and_only_for_itself(
    said: tuple[str, str, int], known: tuple[str, str, int]
) -> None:
    assert verdict(signed(*said), *said) == "accepted"
    assert claimed_device(signed(*said)) == said[0]
    expected = "accepted" if said == known else "SIGNATURE_INVALID"
    assert verdict(signed(*said), *known) == expected


@given(wanted=INDEX)
def test_the_key_to_certify_is_the_one_that_is_named_else_the_one_that_signs(wanted: int) -> None:
    known, named = KEYS[0].public_key(), KEYS[wanted].public_key()
    signer = dsse.SoftwareSigner(KEYS[0])
    for pem, expected in (("", known), (dsse.public_pem(named), named)):
        request = RenewalRequest(device="pi-1", fleet="main", tls_key_pem=pem)
        raw = sign_renewal(request, signer)
        assert accept_renewal(raw, device="pi-1", fleet="main", key=known) == expected
    garbage = RenewalRequest(device="pi-1", fleet="main", tls_key_pem="garbage")
    assert verdict(sign_renewal(garbage, signer)) == "MESSAGE_MALFORMED"


def test_a_device_without_a_token_asks_as_it_always_did() -> None:
    assert encode(RenewalRequest(device="pi-1", fleet="main")) == (
        b'{"device":"pi-1","fleet":"main"}'
    )


@given(place=st.integers(0), change=st.integers(1, 255))
def test_an_altered_request_is_worth_nothing_to_another(place: int, change: int) -> None:
    raw = bytearray(signed("pi-2"))
    raw[place % len(raw)] ^= change
    assert verdict(bytes(raw)) in {"SIGNATURE_INVALID", "MESSAGE_MALFORMED"}


@given(raw=st.binary(max_size=200))
def test_any_bytes_get_a_verdict(raw: bytes) -> None:
    assert verdict(raw) == "MESSAGE_MALFORMED"
    with pytest.raises(LamplighterError, match="MESSAGE_MALFORMED"):
        claimed_device(raw)


def test_what_is_large_or_another_document_is_refused() -> None:
    assert verdict(b" " * (MAX_REQUEST_BYTES + 1)) == "MESSAGE_TOO_LARGE"
    signer = dsse.SoftwareSigner(KEYS[0])
    request = encode(RenewalRequest(device="pi-1", fleet="main"))
    assert verdict(dsse.sign("application/json", request, signer)) == "SIGNATURE_INVALID"
    assert verdict(dsse.sign(PAYLOAD_TYPE, b"{}", signer)) == "MESSAGE_MALFORMED"


@given(
    lifetime_s=st.integers(3, 10**9),
    age=st.fractions(-1, 2),
)
def test_a_certificate_is_young_then_due_then_over(lifetime_s: int, age: float) -> None:
    validity = Validity(from_utc=START, until_utc=START + timedelta(seconds=lifetime_s))
    now_utc = START + timedelta(microseconds=int(age * lifetime_s * 1_000_000))
    states = (
        not validity.is_young(now_utc),
        validity.is_due(now_utc),
        validity.has_ended(now_utc),
    )
    assert list(states) == sorted(states, reverse=True), "each state comes after the one before"
    assert validity.is_due(START + validity.lifetime * 2 / 3)
    assert not validity.is_due(START + validity.lifetime * 2 / 3 - timedelta(seconds=0.01))
