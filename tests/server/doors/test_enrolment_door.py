import asyncio
import hashlib
from collections.abc import Callable
from typing import Any

import httpx
import msgspec
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from cryptography.x509.oid import NameOID

from lamplighter_protocol.enrolment import (
    EnrolmentReply,
    EnrolmentRequest,
    Invitation,
    decode_invitation,
    telemetry_key,
)
from lamplighter_protocol.reported import Inventory
from lamplighter_server.context import Context
from lamplighter_server.devices import service as devices

Code = Callable[[httpx.Response], str]
INVENTORY = Inventory(
    machine="aarch64",
    runtimes={"onnxruntime": "1.23.2"},
    ram_mb=4096,
    python="3.11",
    agent_version="0.1.0",
    system="linux",
)


def make_request(
    invitation: Invitation, agreement: X25519PrivateKey, name: str = "", **changed: Any
) -> bytes:
    assert invitation.device is not None
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name or invitation.device)])
    csr = x509.CertificateSigningRequestBuilder().subject_name(subject).sign(key, hashes.SHA256())
    request = EnrolmentRequest(
        device=invitation.device,
        token=invitation.token,
        csr_pem=csr.public_bytes(serialization.Encoding.PEM).decode(),
        agreement_public=agreement.public_key().public_bytes_raw(),
        inventory=INVENTORY,
    )
    return msgspec.json.encode(msgspec.structs.replace(request, **changed))


@pytest.fixture
async def invite(people: httpx.AsyncClient, offline: Any) -> Callable[..., Any]:
    await offline.bootstrap()

    async def make(device: str, *, replace: bool = False, **labels: str) -> Invitation:
        answer = await people.post(
            "/api/v1/devices/invitations",
            json={"device": device, "labels": labels, "replace": replace},
        )
        assert answer.status_code == 201, answer.text
        return decode_invitation(answer.json()["invitation"])

    return make


async def test_no_invitation_before_the_offline_keys(
    people: httpx.AsyncClient, code_of: Code
) -> None:
    answer = await people.post("/api/v1/devices/invitations", json={"device": "cam-1"})
    assert (answer.status_code, code_of(answer)) == (409, "TRUST_MISSING")


async def test_a_device_enrols_once(
    server: Context, people: httpx.AsyncClient, door: httpx.AsyncClient, invite: Any, code_of: Code
) -> None:
    invitation = await invite("cam-1", site="mill")
    ca = x509.load_pem_x509_certificate((await door.get("/api/v1/enrol/ca")).content)
    digest = hashlib.sha256(ca.public_bytes(serialization.Encoding.DER)).hexdigest()
    assert digest == invitation.ca_sha256

    agreement = X25519PrivateKey.generate()
    answer = await door.post("/api/v1/enrol", content=make_request(invitation, agreement))
    assert answer.status_code == 200, answer.text
    reply = msgspec.json.decode(answer.content, type=EnrolmentReply)
    assert hashlib.sha256(reply.root_json).hexdigest() == invitation.root_sha256
    certificate = x509.load_pem_x509_certificate(reply.certificate_pem.encode())
    certificate.verify_directly_issued_by(ca)
    names = certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    assert [name.value for name in names] == ["cam-1"]
    async with server.database.transaction() as session:
        device = await devices.get(session, "cam-1")
    shared = telemetry_key(agreement, reply.agreement_public, "cam-1")
    assert device.telemetry_key == shared

    again = await door.post("/api/v1/enrol", content=make_request(invitation, agreement))
    assert (again.status_code, code_of(again)) == (409, "INVITATION_USED")
    shown = (await people.get("/api/v1/devices/cam-1")).json()
    assert shown["labels"] == {"site": "mill"}
    assert shown["last_seen_utc"] is None
    assert shown["enrolled_utc"].endswith("Z")
    report = await people.get("/api/v1/devices/cam-1/report")
    assert (code_of(report), report.json()["retryable"]) == ("REPORT_MISSING", True)


async def test_of_two_at_once_one_wins(door: httpx.AsyncClient, invite: Any, code_of: Code) -> None:
    invitation = await invite("cam-1")
    bodies = [make_request(invitation, X25519PrivateKey.generate()) for _ in range(2)]
    answers = await asyncio.gather(*(door.post("/api/v1/enrol", content=body) for body in bodies))
    assert sorted(answer.status_code for answer in answers) == [200, 409]


async def test_a_wrong_or_late_token_is_refused(
    door: httpx.AsyncClient, invite: Any, clock: Any, code_of: Code
) -> None:
    invitation, agreement = await invite("cam-1"), X25519PrivateKey.generate()
    for changed in ({"token": "guess"}, {"device": "cam-2"}):
        answer = await door.post(
            "/api/v1/enrol", content=make_request(invitation, agreement, **changed)
        )
        assert (answer.status_code, code_of(answer)) == (403, "INVITATION_INVALID")
    clock.later(hours=25)
    answer = await door.post("/api/v1/enrol", content=make_request(invitation, agreement))
    assert code_of(answer) == "INVITATION_INVALID"


async def test_a_refused_request_leaves_the_invitation_valid(
    door: httpx.AsyncClient, invite: Any, code_of: Code
) -> None:
    invitation, agreement = await invite("cam-1"), X25519PrivateKey.generate()
    refused = {
        "NAME_INVALID": make_request(invitation, agreement, name="lamplighter.relay"),
        "MESSAGE_MALFORMED": make_request(invitation, agreement, csr_pem="no"),
    }
    for code, body in refused.items():
        assert code_of(await door.post("/api/v1/enrol", content=body)) == code
    for content in (
        b"",
        b"{}",
        b"[" * 9_000,
        make_request(invitation, agreement, agreement_public=b"\0" * 32),
        make_request(invitation, agreement, agreement_public=b"short"),
    ):
        assert code_of(await door.post("/api/v1/enrol", content=content)) == "MESSAGE_MALFORMED"
    answer = await door.post("/api/v1/enrol", content=b"x" * 70_000)
    assert code_of(answer) == "MESSAGE_TOO_LARGE"
    answer = await door.post("/api/v1/enrol", content=make_request(invitation, agreement))
    assert answer.status_code == 200


async def test_enrolling_anew_replaces_keys_and_starts_the_reports_afresh(
    server: Context, door: httpx.AsyncClient, invite: Any
) -> None:
    first = await invite("cam-1", site="mill")
    await door.post("/api/v1/enrol", content=make_request(first, X25519PrivateKey.generate()))
    async with server.database.transaction() as session:
        device = await devices.get(session, "cam-1")
        device.report_counter, before = 9, device.telemetry_key
    second = await invite("cam-1", replace=True, site="harbour")
    await door.post("/api/v1/enrol", content=make_request(second, X25519PrivateKey.generate()))
    async with server.database.transaction() as session:
        device = await devices.get(session, "cam-1")
    assert (device.report_counter, device.labels) == (0, {"site": "harbour"})
    assert device.telemetry_key != before
    third = await invite("cam-1", replace=True)
    await door.post("/api/v1/enrol", content=make_request(third, X25519PrivateKey.generate()))
    async with server.database.transaction() as session:
        assert (await devices.get(session, "cam-1")).labels == {"site": "harbour"}


async def test_a_name_in_use_is_not_given_away_by_mistake(
    people: httpx.AsyncClient, door: httpx.AsyncClient, invite: Any, clock: Any, code_of: Code
) -> None:
    first, second = await invite("cam-1"), await invite("cam-1")
    clock.later(minutes=1)
    for invitation, status in ((first, 200), (second, 409)):
        body = make_request(invitation, X25519PrivateKey.generate())
        answer = await door.post("/api/v1/enrol", content=body)
        assert answer.status_code == status
    assert code_of(answer) == "DEVICE_EXISTS"
    again = await people.post("/api/v1/devices/invitations", json={"device": "cam-1"})
    assert code_of(again) == "DEVICE_EXISTS"


@pytest.mark.parametrize("body", [{"device": "No"}, {"device": "a", "labels": {"site": "A b"}}])
async def test_names_are_checked(
    people: httpx.AsyncClient, invite: Any, body: dict[str, Any], code_of: Code
) -> None:
    answer = await people.post("/api/v1/devices/invitations", json=body)
    assert (answer.status_code, code_of(answer)) == (400, "NAME_INVALID")
