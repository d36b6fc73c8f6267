from typing import Any

import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from lamplighter_protocol import dsse
from lamplighter_protocol.enrolment import EnrolmentRequest, OwnKey
from lamplighter_protocol.errors import LamplighterError
from lamplighter_protocol.renewal import RenewalRequest, sign_renewal
from lamplighter_protocol.reported import Inventory
from lamplighter_server.devices.own_key import own_key

TLS, TOKEN, OTHER = (ec.generate_private_key(ec.SECP256R1()) for _ in range(3))
REQUEST = EnrolmentRequest(
    device="cam-1",
    token="once",
    csr_pem="",
    agreement_public=b"",
    inventory=Inventory(
        machine="aarch64", runtimes={}, ram_mb=1, python="3.11", agent_version="0", system="linux"
    ),
)


def vouch(
    signer: ec.EllipticCurvePrivateKey = TOKEN,
    *,
    claimed: ec.EllipticCurvePrivateKey = TOKEN,
    **changed: Any,
) -> EnrolmentRequest:
    renewal = RenewalRequest(
        device="cam-1", fleet="main", tls_key_pem=dsse.public_pem(TLS.public_key())
    )
    raw = sign_renewal(msgspec.structs.replace(renewal, **changed), dsse.SoftwareSigner(signer))
    own = OwnKey(public_pem=dsse.public_pem(claimed.public_key()), renewal=raw)
    return msgspec.structs.replace(REQUEST, own_key=own)


def test_without_a_token_the_key_of_the_certificate_is_the_devices() -> None:
    assert own_key(REQUEST, TLS.public_key(), "main") == TLS.public_key()


def test_a_key_on_a_token_that_vouches_for_the_certificates_is_the_devices() -> None:
    assert own_key(vouch(), TLS.public_key(), "main") == TOKEN.public_key()


@pytest.mark.parametrize(
    "request_",
    [
        vouch(OTHER),
        vouch(claimed=OTHER),
        vouch(device="cam-2"),
        vouch(fleet="other"),
        vouch(tls_key_pem=dsse.public_pem(OTHER.public_key())),
        vouch(tls_key_pem=""),
    ],
    ids=["forged", "of another", "device", "fleet", "for another key", "for no key"],
)
def test_the_device_key_of_somebody_else(request_: EnrolmentRequest) -> None:
    with pytest.raises(LamplighterError) as caught:
        own_key(request_, TLS.public_key(), "main")
    assert caught.value.code == "SIGNATURE_INVALID"


@pytest.mark.parametrize(
    ("own", "code"),
    [
        (OwnKey(public_pem="nothing", renewal=b""), "MESSAGE_MALFORMED"),
        (OwnKey(public_pem=dsse.public_pem(TOKEN.public_key()), renewal=b"{"), "MESSAGE_MALFORMED"),
        (
            OwnKey(public_pem=dsse.public_pem(TOKEN.public_key()), renewal=b" " * 5000),
            "MESSAGE_TOO_LARGE",
        ),
    ],
)
def test_what_cannot_be_read_is_refused(own: OwnKey, code: str) -> None:
    with pytest.raises(LamplighterError, match=code):
        own_key(msgspec.structs.replace(REQUEST, own_key=own), TLS.public_key(), "main")
