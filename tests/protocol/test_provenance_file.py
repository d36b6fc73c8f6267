import pytest
from hypothesis import given
from hypothesis import strategies as st

from lamplighter_protocol import provenance
from lamplighter_protocol.errors import LamplighterError
from lamplighter_protocol.provenance import (
    Provenance,
    ReleaseProof,
    decode_provenance,
    encode_provenance,
    link,
)

PROOF = Provenance(
    device="pi-1",
    fleet="main",
    roots=(b"root",),
    targets=b"targets",
    delegated={"model-digits": b"team"},
    director_keys=b"keys",
    assignment=b"assignment",
    report=b"report",
    certificate_pem="certificate",
    ca_pem="authority",
    releases=(ReleaseProof(model="digits", manifest=b"manifest", evidence=None),),
)
RAW = encode_provenance(PROOF)


def test_the_original_bytes_survive_the_way() -> None:
    assert decode_provenance(RAW) == PROOF


@given(st.binary(max_size=200))
def test_noise_is_refused(raw: bytes) -> None:
    with pytest.raises(LamplighterError, match="MESSAGE_MALFORMED"):
        decode_provenance(raw)


@pytest.mark.parametrize("other", [b'"format":9', b'"format":"1"'])
def test_another_format_is_refused(other: bytes) -> None:
    with pytest.raises(LamplighterError, match="MESSAGE_MALFORMED"):
        decode_provenance(RAW.replace(b'"format":1', other))


def test_a_file_beyond_the_limit_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(provenance, "MAX_PROVENANCE_BYTES", len(RAW) - 1)
    with pytest.raises(LamplighterError, match="MESSAGE_TOO_LARGE"):
        decode_provenance(RAW)


def refuse_at(name: str) -> None:
    with link(name):
        raise LamplighterError("TRUST_REFUSED", "It is another one.")


def test_a_refusal_names_its_link() -> None:
    with pytest.raises(LamplighterError) as caught:
        refuse_at("report")
    assert caught.value.code == "PROVENANCE_BROKEN"
    assert caught.value.sentence == "The chain breaks at its link 'report': It is another one."
