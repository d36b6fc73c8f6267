import io
import zipfile
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

from lamplighter_protocol import dsse
from lamplighter_protocol.assignment import ENCRYPTED, PAYLOAD_TYPE, AssignedModel, Assignment
from lamplighter_protocol.enrolment import EnrolmentRequest, decode_invitation
from lamplighter_protocol.errors import LamplighterError
from lamplighter_protocol.reported import Inventory
from lamplighter_protocol.sealed import Recipient, unwrap_key
from lamplighter_server.assignments import service as assignments
from lamplighter_server.blobs import service as blobs
from lamplighter_server.context import Context

Code = Callable[[httpx.Response], str]
Enrol = Callable[..., Any]
OLD_BOARD = Inventory(
    machine="aarch64",
    runtimes={"onnxruntime": "1.23.2"},
    ram_mb=4096,
    python="3.11",
    agent_version="0.1.0",
    system="linux",
)
BOARD = msgspec.structs.replace(OLD_BOARD, transfers=(ENCRYPTED,))


@pytest.fixture
def enrol(people: httpx.AsyncClient, door: httpx.AsyncClient) -> Enrol:
    async def make(device: str, inventory: Inventory = BOARD) -> X25519PrivateKey:
        invited = await people.post(
            "/api/v1/devices/invitations", json={"device": device, "replace": True}
        )
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, device)])
        csr = x509.CertificateSigningRequestBuilder().subject_name(subject)
        signed = csr.sign(ec.generate_private_key(ec.SECP256R1()), hashes.SHA256())
        agreement = X25519PrivateKey.generate()
        request = EnrolmentRequest(
            device=device,
            token=decode_invitation(invited.json()["invitation"]).token,
            csr_pem=signed.public_bytes(serialization.Encoding.PEM).decode(),
            agreement_public=agreement.public_key().public_bytes_raw(),
            inventory=inventory,
        )
        answer = await door.post("/api/v1/enrol", content=msgspec.json.encode(request))
        assert answer.status_code == 200, answer.text
        return agreement

    return make


async def assign(server: Context, *names: str) -> None:
    async with server.database.transaction() as session:
        for name in names:
            await assignments.want(
                session,
                device=name,
                model="digits",
                release=1,
                variant="onnx-int8",
                rollout=None,
                deadline_utc=server.clock(),
            )
        await assignments.issue(server, session, names, server.clock())


async def assigned(server: Context, name: str) -> AssignedModel:
    async with server.database.reading() as session:
        row = await assignments.newest(session, name)
    assert row is not None
    director = server.keys.director
    key = dsse.load_public(server.keys.director_public_pem)
    payload = dsse.verify(row.envelope, PAYLOAD_TYPE, {director.key_id: key})
    return msgspec.json.decode(payload, type=Assignment).models[0]


def unwrap(server: Context, model: AssignedModel, name: str, private: X25519PrivateKey) -> bytes:
    to = Recipient(
        fleet=server.settings.fleet,
        device=name,
        model="digits",
        release=1,
        manifest_sha256=model.manifest.sha256,
    )
    assert model.wrapped_key is not None
    return unwrap_key(model.wrapped_key, private, to)


async def test_who_has_the_model_is_told_anew_and_who_cannot_receive_it_is_named(
    server: Context, people: httpx.AsyncClient, offline: Any, enrol: Enrol
) -> None:
    await offline.bootstrap()
    await offline.publish("digits", 1)
    private = await enrol("cam-1")
    await enrol("old-1", OLD_BOARD)
    await assign(server, "cam-1", "old-1")
    assert not (await people.get("/api/v1/models/digits")).json()["confidential"]
    done = (await people.post("/api/v1/models/digits/protect")).json()
    assert (done["confidential"], done["releases"], done["assigned"]) == (True, 1, 2)
    assert done["unable"].keys() == {"old-1"}
    assert done["unable"]["old-1"].startswith("CAPABILITY_MISSING: Agent 0.1.0 of old-1")
    assert (await people.get("/api/v1/models/digits")).json()["confidential"]
    assert len(unwrap(server, await assigned(server, "cam-1"), "cam-1", private)) == 32
    done = (await people.post("/api/v1/models/digits/unprotect")).json()
    assert (done["confidential"], done["assigned"], done["unable"]) == (False, 2, {})
    assert (await assigned(server, "cam-1")).transfers == ()


async def test_a_release_of_a_confidential_model_is_never_published_plain(
    server: Context, people: httpx.AsyncClient, offline: Any
) -> None:
    done = await people.post("/api/v1/models/digits/protect")  # before there is anything of it
    assert done.status_code == 200, done.text
    await offline.bootstrap()
    body = await offline.prepare("digits", 1)
    assert (await people.post("/api/v1/releases", json=body)).status_code == 201
    async with server.database.transaction() as session:
        known = await blobs.known(server, session, [body["manifest_sha256"]])
        await blobs.want(session, known, "device:thief", server.clock())
        assert await blobs.published(session) == []


async def test_a_device_that_enrols_anew_gets_keys_for_its_new_key(
    server: Context, people: httpx.AsyncClient, offline: Any, enrol: Enrol
) -> None:
    await offline.bootstrap()
    await offline.publish("digits", 1)
    await people.post("/api/v1/models/digits/protect")
    former = await enrol("cam-1")
    await assign(server, "cam-1")
    present = await enrol("cam-1")
    model = await assigned(server, "cam-1")
    assert unwrap(server, model, "cam-1", present)
    with pytest.raises(LamplighterError, match="KEY_REFUSED"):
        unwrap(server, model, "cam-1", former)


async def test_a_rollout_leaves_out_who_cannot_receive_it(
    people: httpx.AsyncClient, offline: Any, enrol: Enrol, code_of: Code
) -> None:
    await offline.bootstrap()
    await offline.publish("digits", 1)
    await people.post("/api/v1/models/digits/protect")
    await enrol("old-1", OLD_BOARD)
    body = {"model": "digits", "release": 1}
    answer = await people.post("/api/v1/rollouts", json=body)
    assert code_of(answer) == "ROLLOUT_INVALID"
    await enrol("cam-1")
    created = (await people.post("/api/v1/rollouts", json=body)).json()
    places = {place["device"]: place for place in created["devices"]}
    assert places["cam-1"]["state"] == "waiting"
    assert places["old-1"]["reason"].startswith("CAPABILITY_MISSING")


async def test_names_are_checked(people: httpx.AsyncClient, code_of: Code) -> None:
    for path in ("protect", "unprotect"):
        answer = await people.post(f"/api/v1/models/No/{path}")
        assert code_of(answer) == "NAME_INVALID"


async def test_what_is_carried_is_sealed_too(
    server: Context, people: httpx.AsyncClient, offline: Any, enrol: Enrol
) -> None:
    await offline.bootstrap()
    await offline.publish("digits", 1)
    await people.post("/api/v1/models/digits/protect")
    await enrol("cam-1")
    await assign(server, "cam-1")
    answer = await people.get("/api/v1/devices/cam-1/carried")
    assert answer.status_code == 200, answer.text
    names = zipfile.ZipFile(io.BytesIO(answer.content)).namelist()
    travels = (await assigned(server, "cam-1")).transfers
    carried = {name.split("/")[-2] for name in names if "/blob/" in name}
    assert carried == {transfer.wire_sha256 for transfer in travels}
