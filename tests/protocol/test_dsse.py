import base64
import json
from contextlib import suppress

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from hypothesis import given
from hypothesis import strategies as st

from lamplighter_protocol import dsse
from lamplighter_protocol.errors import LamplighterError

ED25519 = ed25519.Ed25519PrivateKey.generate()
P256 = ec.generate_private_key(ec.SECP256R1())
STRANGER = ed25519.Ed25519PrivateKey.generate()
KIND = "application/x-test"
KEYS = {dsse.key_id(key.public_key()): key.public_key() for key in (ED25519, P256)}


@pytest.mark.parametrize("private", [ED25519, P256])
def test_what_a_known_key_signed_is_accepted(private: dsse.PrivateKey) -> None:
    raw = dsse.sign(KIND, b"payload", dsse.SoftwareSigner(private))
    assert dsse.verify(raw, KIND, KEYS) == b"payload"
    reloaded = dsse.load_public(dsse.public_pem(private.public_key()))
    assert dsse.key_id(reloaded) in KEYS


def test_the_encoding_is_the_published_one() -> None:
    # The example of the DSSE protocol document: length-prefixed type and body.
    raw = dsse.sign("http://example.com/HelloWorld", b"hello world", dsse.SoftwareSigner(ED25519))
    signature = json.loads(raw)["signatures"][0]["sig"]
    ED25519.public_key().verify(
        base64.b64decode(signature), b"DSSEv1 29 http://example.com/HelloWorld 11 hello world"
    )


@pytest.mark.parametrize("private", [ED25519, P256])
@given(position=st.integers(0, 10_000), flip=st.integers(1, 255))
def test_no_changed_byte_changes_what_is_accepted(
    private: dsse.PrivateKey, position: int, flip: int
) -> None:
    raw = bytearray(dsse.sign(KIND, b"payload", dsse.SoftwareSigner(private)))
    raw[position % len(raw)] ^= flip
    with suppress(LamplighterError):  # a changed key id or unused character may be harmless
        assert dsse.verify(bytes(raw), KIND, KEYS) == b"payload"


@given(st.binary(max_size=300))
def test_hostile_bytes_are_refused_with_a_code(raw: bytes) -> None:
    with pytest.raises(LamplighterError):
        dsse.verify(raw, KIND, KEYS)


def test_strangers_other_kinds_and_huge_envelopes_are_refused() -> None:
    stranger = dsse.sign(KIND, b"payload", dsse.SoftwareSigner(STRANGER))
    with pytest.raises(LamplighterError, match="SIGNATURE_INVALID"):
        dsse.verify(stranger, KIND, KEYS)
    known = dsse.sign(KIND, b"payload", dsse.SoftwareSigner(ED25519))
    with pytest.raises(LamplighterError, match="SIGNATURE_INVALID"):
        dsse.verify(known, "application/x-other", KEYS)
    with pytest.raises(LamplighterError, match="MESSAGE_TOO_LARGE"):
        dsse.verify(known, KIND, KEYS, max_bytes=10)


def test_other_kinds_of_keys_are_refused() -> None:
    weak = ec.generate_private_key(ec.SECP384R1()).public_key()
    with pytest.raises(LamplighterError, match="Ed25519 or ECDSA P-256"):
        dsse.load_public(dsse.public_pem(weak))


def test_deep_nesting_in_an_envelope_is_malformed() -> None:
    with pytest.raises(LamplighterError, match="MESSAGE_MALFORMED"):
        dsse.verify(b'{"payload":' + b'{"a":' * 3000, KIND, KEYS)


def test_a_key_of_an_unknown_kind_is_malformed() -> None:
    # A SubjectPublicKeyInfo whose algorithm nobody knows.
    der = bytes.fromhex("302a300506032b6570032100") + b"k" * 32
    unknown = base64.b64encode(der.replace(b"\x2b\x65\x70", b"\x2b\x61\x70")).decode()
    with pytest.raises(LamplighterError, match="MESSAGE_MALFORMED"):
        dsse.load_public(f"-----BEGIN PUBLIC KEY-----\n{unknown}\n-----END PUBLIC KEY-----\n")
