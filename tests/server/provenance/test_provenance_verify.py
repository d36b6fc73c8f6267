"""Each link holds, and each link breaks by itself."""

from collections.abc import Callable

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace
from securesystemslib.signer import CryptoSigner
from tests.server.provenance.conftest import NOW, Chain

from lamplighter_protocol import dsse
from lamplighter_protocol.canonical import sha256
from lamplighter_protocol.errors import LamplighterError
from lamplighter_protocol.provenance import Provenance, decode_provenance, encode_provenance
from lamplighter_protocol.reported import TrustState
from lamplighter_server.pki.certificates import build_authority
from lamplighter_server.provenance.verify import Pins, verify

Change = Callable[[Chain], Provenance]


@pytest.mark.parametrize("delegated", [False, True])
def test_a_whole_chain_tells_every_link(delegated: bool) -> None:
    chain = Chain(delegated=delegated)
    found = {item.name: item.facts for item in verify(chain.file(), chain.pins)}
    assert list(found) == [
        "data",
        "run",
        "metrics",
        "conversion",
        "signature",
        "assignment",
        "report",
        "certificate",
    ]
    assert found["data"]["sha256"] == chain.manifest.lineage.dataset_sha256
    assert found["metrics"]["accuracy"] == 0.97
    assert found["conversion"]["agreement"] == 1.0
    assert found["signature"]["role"] == ("model-digits" if delegated else "targets")
    assert found["signature"]["root_sha256"] == sha256(chain.roots()[0])
    assert found["signature"]["root_pinned"]
    assert found["assignment"]["generation"] == "1.7"
    assert found["report"]["counter"] == 12
    assert found["certificate"]["authority_pinned"]


def test_the_file_survives_the_way(chain: Chain) -> None:
    file = chain.file()
    assert decode_provenance(encode_provenance(file)) == file


def test_without_pins_the_chain_says_that_it_is_not_pinned(chain: Chain) -> None:
    found = {item.name: item.facts for item in verify(chain.file(), Pins())}
    assert not found["signature"]["root_pinned"]
    assert not found["certificate"]["authority_pinned"]


def test_a_device_proves_all_but_what_was_measured(chain: Chain) -> None:
    file = chain.file()
    alone = replace(file, releases=(replace(file.releases[0], evidence=None),))
    found = {item.name: item.facts for item in verify(alone, chain.pins)}
    assert found["metrics"] == {"evidence_sha256": sha256(chain.evidence), "in_this_file": False}
    assert "conversion" not in found


def other_root(chain: Chain) -> Provenance:
    return replace(chain.file(), roots=Chain().roots())


def other_second_root(chain: Chain) -> Provenance:
    return replace(chain.file(), roots=(chain.roots()[0], Chain().roots()[1]))


def a_root_left_out(chain: Chain) -> Provenance:
    return replace(chain.file(), roots=(chain.roots()[0], chain.roots()[0]))


def no_root(chain: Chain) -> Provenance:
    return replace(chain.file(), roots=())


def unreadable_root(chain: Chain) -> Provenance:
    return replace(chain.file(), roots=(chain.roots()[0], b"{}"))


def targets_instead_of_a_root(chain: Chain) -> Provenance:
    return replace(chain.file(), roots=(chain.roots()[0], chain.targets()[0]))


def other_targets(chain: Chain) -> Provenance:
    return replace(chain.file(), targets=Chain().targets()[0])


def other_director_keys(chain: Chain) -> Provenance:
    return replace(chain.file(), director_keys=Chain().director_keys)


def other_authority(chain: Chain) -> Provenance:
    return replace(chain.file(), ca_pem=Chain().file().ca_pem)


def own_authority(chain: Chain) -> Provenance:
    """Consistent in itself, but not the one that the reader trusts."""
    chain.ca_key = ec.generate_private_key(ec.SECP256R1())
    chain.authority = build_authority(chain.ca_key, NOW)
    return chain.file()


def other_certificate(chain: Chain) -> Provenance:
    return replace(chain.file(), certificate_pem=Chain().certificate())


def certificate_of_another_device(chain: Chain) -> Provenance:
    chain.certified = "cam-2"
    return chain.file()


def unreadable_certificate(chain: Chain) -> Provenance:
    return replace(chain.file(), certificate_pem="nothing")


def another_device(chain: Chain) -> Provenance:
    return replace(
        chain.file(), device="cam-2", certificate_pem=Chain(certified="cam-2").certificate()
    )


def signed_with_the_tls_key_of_a_stolen_card(chain: Chain) -> Provenance:
    chain.tls_key = ec.generate_private_key(ec.SECP256R1())
    certificate_pem, chain.device_key = chain.certificate(), chain.tls_key
    return replace(chain.file(), certificate_pem=certificate_pem)


def the_same_without_its_name(chain: Chain) -> Provenance:
    return replace(signed_with_the_tls_key_of_a_stolen_card(chain), device_key_pem="")


def another_key_named(chain: Chain) -> Provenance:
    pem = dsse.public_pem(Chain().device_key.public_key())
    return replace(chain.file(), device_key_pem=pem)


def other_director(chain: Chain) -> Provenance:
    file = chain.file()
    chain.director_key = Ed25519PrivateKey.generate()
    return replace(file, assignment=chain.assignment())


def other_epoch(chain: Chain) -> Provenance:
    chain.epoch = 2
    return chain.file()


def other_fleet(chain: Chain) -> Provenance:
    return replace(chain.file(), fleet="other")


def other_release_assigned(chain: Chain) -> Provenance:
    chain.assigned_release = 2
    return chain.file()


def other_device_key(chain: Chain) -> Provenance:
    file = chain.file()
    chain.device_key = ec.generate_private_key(ec.SECP256R1())
    return replace(file, report=chain.report(file.assignment))


def report_on_another_assignment(chain: Chain) -> Provenance:
    chain.report_changes = {"assignment_sha256": "0" * 64}
    return chain.file()


def report_with_other_metadata(chain: Chain) -> Provenance:
    state = TrustState(root_version=2, targets_version=3, floor_utc=NOW)
    chain.report_changes = {"trust": state}
    return chain.file()


def report_without_metadata(chain: Chain) -> Provenance:
    chain.report_changes = {"trust": None}
    return chain.file()


def report_in_probation(chain: Chain) -> Provenance:
    chain.active_changes = {"committed": False}
    return chain.file()


def report_of_another_variant(chain: Chain) -> Provenance:
    chain.active_changes = {"variant": "onnx-int8"}
    return chain.file()


def a_release_left_out(chain: Chain) -> Provenance:
    return replace(chain.file(), releases=())


def other_manifest(chain: Chain) -> Provenance:
    file = chain.file()
    proof = replace(file.releases[0], manifest=file.releases[0].manifest + b" ")
    return replace(file, releases=(proof,))


def other_evidence(chain: Chain) -> Provenance:
    file = chain.file()
    proof = replace(file.releases[0], evidence=b"{}")
    return replace(file, releases=(proof,))


def evidence_of_another_bundle(chain: Chain) -> Provenance:
    chain.evidence_changes = {"bundle_sha256": "0" * 64}
    return chain.file()


def unreadable_evidence(chain: Chain) -> Provenance:
    chain.evidence_changes = {"parity": "none"}
    return chain.file()


def no_parity(chain: Chain) -> Provenance:
    chain.evidence_changes = {"parity": []}
    return chain.file()


def no_delegated_file(chain: Chain) -> Provenance:
    chain.delegated = True
    return replace(chain.file(), delegated={})


def other_delegated_key(chain: Chain) -> Provenance:
    chain.delegated = True
    file = chain.file()
    chain.team_key = CryptoSigner.generate_ed25519()
    return replace(file, delegated=chain.targets()[1])


def release_that_nobody_signed(chain: Chain) -> Provenance:
    chain.delegated = True
    delegated, chain.delegated = chain.targets()[1], False
    file = chain.file()
    other = Chain()
    other.targets_key, other.director_key = chain.targets_key, chain.director_key
    other.manifest_raw += b" "
    return replace(file, targets=other.targets()[0], delegated=delegated)


@pytest.mark.parametrize(
    ("link", "change"),
    [
        ("root", other_root),
        ("root", other_second_root),
        ("root", a_root_left_out),
        ("root", no_root),
        ("root", unreadable_root),
        ("root", targets_instead_of_a_root),
        ("targets", other_targets),
        ("director", other_director_keys),
        ("authority", other_authority),
        ("authority", own_authority),
        ("certificate", other_certificate),
        ("certificate", certificate_of_another_device),
        ("certificate", unreadable_certificate),
        ("certificate", another_device),
        ("certificate", signed_with_the_tls_key_of_a_stolen_card),
        ("certificate", the_same_without_its_name),
        ("certificate", another_key_named),
        ("assignment", other_director),
        ("assignment", other_epoch),
        ("assignment", other_fleet),
        ("report", other_release_assigned),
        ("report", other_device_key),
        ("report", report_on_another_assignment),
        ("report", report_with_other_metadata),
        ("report", report_without_metadata),
        ("report", report_in_probation),
        ("report", report_of_another_variant),
        ("report", a_release_left_out),
        ("manifest", other_manifest),
        ("manifest", release_that_nobody_signed),
        ("evidence", other_evidence),
        ("evidence", evidence_of_another_bundle),
        ("evidence", unreadable_evidence),
        ("conversion", no_parity),
        ("signature", no_delegated_file),
        ("signature", other_delegated_key),
    ],
    ids=lambda value: getattr(value, "__name__", value),
)
def test_a_broken_link_is_named(chain: Chain, link: str, change: Change) -> None:
    pins = chain.pins
    file = change(chain)
    with pytest.raises(LamplighterError, match="PROVENANCE_BROKEN") as caught:
        verify(file, pins)
    assert f"its link '{link}'" in caught.value.sentence


@pytest.mark.parametrize("named", [True, False], ids=["named", "as of old"])
def test_a_file_without_a_token_need_not_name_the_key(chain: Chain, named: bool) -> None:
    file = chain.file() if named else replace(chain.file(), device_key_pem="")
    assert verify(file, chain.pins)[-1].facts["key_sha256"] == key_id(chain)


def test_a_report_that_a_token_signed_is_believed(chain: Chain) -> None:
    chain.tls_key = ec.generate_private_key(ec.SECP256R1())
    assert verify(chain.file(), chain.pins)[-1].facts["key_sha256"] == key_id(chain)


def key_id(chain: Chain) -> str:
    return dsse.key_id(chain.device_key.public_key())


WHOLE = Chain(delegated=True)
RAW = encode_provenance(WHOLE.file())


@given(st.integers(0, len(RAW) - 1), st.binary(min_size=1, max_size=1))
def test_no_changed_byte_changes_what_is_told(position: int, byte: bytes) -> None:
    raw = RAW[:position] + byte + RAW[position + 1 :]
    try:
        links = verify(decode_provenance(raw), WHOLE.pins)
    except LamplighterError as error:
        code = error.code
    else:
        code = ""
        told = {item.name: item.facts for item in links}
        assert told["signature"]["manifest_sha256"] == sha256(WHOLE.manifest_raw)
        assert told["certificate"]["device"] == WHOLE.file().device
    assert code in {"", "PROVENANCE_BROKEN", "MESSAGE_MALFORMED"}
