"""Names that want to be something else: a topic, a path, a client of the server."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from tests.agent.tuf_repository import Repository
from tests.conformance.attacks.refusal import refused
from tests.protocol.conftest import make_manifest
from tests.server.pki.test_certificates import request_pem
from tests.server.publishing.test_case import made

from lamplighter_agent.trust.refresh import Trust, TrustDirs
from lamplighter_protocol.bundle import decode_manifest, encode_manifest
from lamplighter_protocol.canonical import encode
from lamplighter_protocol.enrolment import Invitation, decode_invitation, encode_invitation
from lamplighter_server.pki.authority import INGEST, RELAY
from lamplighter_server.pki.certificates import read_request
from lamplighter_server.publishing.case import read_case

TOPICS = ["cam-1/desired", "+", "#", "$SYS", "cam-1/#", "%u", "../cam-1"]
OTHERS = ["", "cam-1\n", "cam-1\x00", "Cam-1", "-cam", "a" * 64, "ca\uff4d-1", RELAY, INGEST]
INVITATION = Invitation(
    url="https://127.0.0.1:1",
    device="cam-1",
    fleet="main",
    token="t",
    ca_sha256="0" * 64,
    root_sha256="0" * 64,
)


@pytest.mark.parametrize("name", TOPICS + OTHERS)
def test_a_device_named_like_a_topic(name: str) -> None:
    with refused("NAME_INVALID"):
        read_request(request_pem(ec.generate_private_key(ec.SECP256R1()), "cam-1"), name)
    with refused("INVITATION_INVALID"):
        decode_invitation(encode_invitation(msgspec.structs.replace(INVITATION, device=name)))


@pytest.mark.parametrize("name", TOPICS + OTHERS)
async def test_an_invitation_for_a_device_named_like_a_topic(
    people: httpx.AsyncClient, offline: Any, code_of: Callable[[httpx.Response], str], name: str
) -> None:
    await offline.bootstrap()
    answer = await people.post("/api/v1/devices/invitations", json={"device": name})
    assert code_of(answer) == "NAME_INVALID"


@pytest.mark.parametrize("name", ["../identity/root.json", "/etc/x.json", "a/b.json", "..", "~"])
def test_a_trust_file_that_climbs_out_of_its_folder(
    tmp_path: Path, repository: Repository, name: str
) -> None:
    (tmp_path / "root.json").write_bytes(repository.root_bytes)
    trust = Trust(TrustDirs(tmp_path / "store", tmp_path / "inbox", tmp_path / "root.json"))
    with refused("NAME_INVALID"):
        trust.take(name, b"{}")
    assert list((tmp_path / "inbox").iterdir()) == []


@pytest.mark.parametrize("name", ["../x", "a/b", "", ".", "..", "a\x00", "a\n", "a" * 300, "\\x"])
def test_a_bundle_file_that_climbs_out_of_its_folder(name: str) -> None:
    document = json.loads(encode_manifest(make_manifest()))
    document["files"][name] = document["files"]["golden.npz"]
    with refused("MESSAGE_MALFORMED"):
        decode_manifest(encode(document))


@pytest.mark.parametrize("name", ["../proposed/root.json", "/etc/passwd", "files/../../x"])
def test_a_case_that_climbs_out_of_its_folder(tmp_path: Path, name: str) -> None:
    path = made(tmp_path / "x.case", lambda archive: archive.writestr(name, b""))
    with refused("NAME_INVALID"):
        read_case(path)


@pytest.mark.parametrize("digest", ["../../admin.token", "..%2f..%2fadmin.token", "0" * 63])
async def test_a_blob_that_climbs_out_of_its_folder(people: httpx.AsyncClient, digest: str) -> None:
    answer = await people.put(f"/api/v1/blobs/{digest}", content=b"x")
    assert answer.status_code in {404, 405, 422}
    assert answer.json()["code"] in {"NOT_FOUND", "MESSAGE_MALFORMED"}
